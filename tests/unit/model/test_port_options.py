"""Options of a public port: what is read, written again, and refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from roost.model.app_config_read import app_config_from_json, app_config_to_json
from roost.model.errors import BadInput
from roost.model.port_options import HttpOptions, TlsOptions, merged
from roost.model.service_config import read_service, service_to_json

HTTP = {
    "compress": True,
    "h2_backend": True,
    "idle_timeout": 60,
    "response": {"headers": {"x-a": "b", "x-gone": False, "x-two": ["1", "2"]}},
}


def _service(port: dict[str, Any]) -> dict[str, Any]:
    return {"internal_port": 80, "ports": [{"port": 5000, **port}]}


def test_read_and_written_again() -> None:
    ports = [
        {"port": 443, "handlers": ["tls", "http"], "http_options": HTTP},
        {"port": 8883, "handlers": ["tls"], "tls_options": {"alpn": ["mqtt"], "versions": ["TLSv1.3"]}},
        {"port": 5000, "handlers": ["proxy_proto"], "proxy_proto_options": {"version": "v2"}},
    ]
    read = read_service({"internal_port": 80, "ports": ports}, "services[0]")
    assert read.ports[0].http.headers == (("x-a", ("b",)), ("x-gone", ()), ("x-two", ("1", "2")))
    assert read.ports[1].tls == TlsOptions(("mqtt",), ("TLSv1.3",))
    assert read.ports[2].proxy_version == "v2"
    assert service_to_json(read)["ports"] == ports
    assert read_service(service_to_json(read), "again") == read


def test_of_a_file() -> None:
    services = [{"internal_port": 1, "ports": [{"port": 5000, "handlers": ["tls"], "tls_options": {"alpn": ["x"]}}]}]
    config = app_config_from_json({"app": "a", "http_service": {"http_options": HTTP}, "services": services})
    (_, web), (_, other) = config.services
    assert [port.http.compress for port in web.ports] == [True, True]
    assert other.ports[0].tls.alpn == ("x",)
    assert app_config_from_json(app_config_to_json(config)).services == config.services


def test_a_range_is_its_ports() -> None:
    given = {"internal_port": 1, "ports": [{"start_port": 5000, "end_port": 5002, "handlers": ["tls"]}, {"port": 6000}]}
    read = read_service(given, "services[0]")
    assert [(port.port, port.handlers) for port in read.ports] == [
        (5000, ("tls",)), (5001, ("tls",)), (5002, ("tls",)), (6000, ()),
    ]  # fmt: skip
    config = app_config_from_json({"app": "a", "services": [given]})
    assert config.services[0][1].ports == read.ports


def test_what_either_port_asks_for_holds_for_both() -> None:
    one = HttpOptions(compress=True, headers=(("a", ("1",)),))
    assert merged([HttpOptions(idle_timeout=5.0), one]) == HttpOptions(True, False, 5.0, (("a", ("1",)),))


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ({"start_port": 1}, "has port and start_port"),
        ({"port": None, "start_port": 1}, r"ports\[0\]\.port is missing"),
        ({"port": None, "start_port": 1, "end_port": 101}, "end_port must be from"),
        ({"port": None, "start_port": 2, "end_port": 1}, "end_port must be from"),
        ({"handlers": ["smtp"]}, r"ports\[0\]\.handlers: 'smtp' is not supported"),
        ({"handlers": ["pg_tls", "tls"]}, "can't be had together"),
        ({"handlers": ["pg_tls"], "tls_options": {"alpn": ["x"]}}, "always postgresql"),
        ({"handlers": ["http", "proxy_proto"]}, "can't be had together"),
        ({"handlers": ["tls", "tls"]}, "can't be had together"),
        ({"tls_options": {"alpn": ["h2"]}}, "tls_options needs the handler tls"),
        ({"proxy_proto_options": {"version": "v2"}}, "proxy_proto_options needs the handler proxy_proto"),
        ({"handlers": ["proxy_proto"], "proxy_proto_options": {"version": "v3"}}, r"proxy_proto_options\.version"),
        ({"handlers": ["tls"], "tls_options": {"versions": ["SSLv3"]}}, r"tls_options\.versions"),
        ({"handlers": ["tls"], "tls_options": {"alpn": ["a b"]}}, r"tls_options\.alpn"),
        ({"handlers": ["tls"], "tls_options": {"default_self_signed": True}}, "default_self_signed is not supported"),
        ({"handlers": ["tls"], "http_options": {"compress": True}}, "http_options needs the handler http"),
        ({"handlers": ["http"], "http_options": {"response": {"pristine": 1}}}, r"response\.pristine"),
        (
            {"handlers": ["http"], "http_options": {"headers_read_timeout": 90}},
            "headers_read_timeout must be from 1 to 60",
        ),
        ({"handlers": ["http"], "http_options": {"idle_timeout": 90000}}, r"idle_timeout must be"),
        *(
            ({"handlers": ["http"], "http_options": {"response": {"headers": headers}}}, r"response\.headers")
            for headers in (
                {"a b": "c"},
                {"fly-x": "y"},
                {"connection": "close"},
                {"a": "b\r\nc: d"},
                {"a": 1},
                {"a": []},
                [],
            )
        ),
    ],
)
def test_refused_by_name(port: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_service(_service(port), "services[0]")
