"""`http_options.replay_cache`, by API and by file."""

from __future__ import annotations

from typing import Any

import pytest

from roost.model.app_config import AppConfig
from roost.model.app_config_read import app_config_from_json, app_config_to_json
from roost.model.errors import BadInput
from roost.model.service_config import read_service, service_to_json
from roost.model.steering import SessionRule

RULE = {"type": "header", "name": "x-tenant", "ttl_seconds": 60, "path_prefix": "/a", "allow_bypass": True}


def service(rule: dict[str, Any]) -> dict[str, Any]:
    return {"internal_port": 80, "ports": [{"port": 80, "http_options": {"replay_cache": [rule]}}]}


def test_there_and_back() -> None:
    read = read_service(service(RULE | {"name": "X-Tenant"}), "services[0]")
    assert read.ports[0].sessions == (SessionRule("header", "x-tenant", 60, "/a", allow_bypass=True),)
    assert read_service(service_to_json(read), "x") == read
    assert service_to_json(read)["ports"][0]["http_options"] == {"replay_cache": [RULE]}


def test_from_a_file() -> None:
    options = {"replay_cache": [{"name": "sid", "ttl_seconds": 10}]}
    config: AppConfig = app_config_from_json({"app": "shop", "http_service": {"http_options": options}})
    assert config.services[0][1].ports[0].sessions == (SessionRule("cookie", "sid", 10),)
    again = app_config_from_json(app_config_to_json(config))
    assert again.services == config.services


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"type": "ip"}, "type"), ({"name": ""}, "name"), ({"name": "a b"}, "name"), ({"name": "fly-x"}, "name"),
        ({"name": "a_b"}, "name"), ({"ttl_seconds": 9}, "ttl_seconds"), ({"path_prefix": "a"}, "path_prefix"),
        ({"path_prefix": "/?"}, "path_prefix"), ({"other": 1}, "other"), ({"allow_bypass": "x"}, "allow_bypass"),
    ],
)  # fmt: skip
def test_what_is_refused(change: dict[str, Any], word: str) -> None:
    with pytest.raises(BadInput, match=word):
        read_service(service(RULE | change), "services[0]")


def test_other_options_are_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"http_options\.headers_read_timeout"):
        read_service(
            {"internal_port": 80, "ports": [{"port": 80, "http_options": {"headers_read_timeout": 500}}]}, "services[0]"
        )
    with pytest.raises(BadInput, match="ttl_seconds"):
        missing = {"name": "x", "type": "cookie"}
        read_service(service(missing), "services[0]")
