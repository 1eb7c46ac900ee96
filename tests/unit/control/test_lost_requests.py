"""Requests that could not be logged are counted, each one that a line stands for."""

from __future__ import annotations

import resource
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from roost.control.core import Core
from roost.control.requests import Requests
from roost.model.cloud import Cloud
from roost.model.request import Request


def request(alike: int) -> Request:
    values = {"bytes_in": 0, "bytes_out": 0, "queue": 0.0, "wake": 0.0, "connect": 0.0, "app": 1.0, "total": 1.0}
    more: dict[str, Any] = {**values, "tries": 1, "error": "", "alike": alike}
    return Request(5.0, "1", "GET", "shop.test", "/", 200, "HTTP/1.1", "192.0.2.1", "m", **more)


def test_what_a_full_disk_did_not_take_is_counted(tmp_path: Path) -> None:
    cloud = Cloud("0123abcd", tmp_path, 0, 0, "localhost", IPv4Network("10.1.0.0/16"))
    nothing: Any = SimpleNamespace(unlogged=100)
    requests = Requests(Core(cloud, nothing, nothing, nothing, nothing, nothing, nothing))
    requests.record([("shop", request(1)), ("shop", request(7))])
    assert requests.dropped == 100, "those that the edge lost"
    size = (cloud.logs / "requests/shop/output.log").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + size * 3 // 4, before[1]))
    try:
        requests.record([("shop", request(1)), ("shop", request(7))])
        assert requests.dropped == 107, "there was room for the first line"
        requests.record([("shop", request(1)), ("shop", request(3))])
        assert requests.dropped == 111, "and then for none"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    requests.record([("shop", request(1))])
    assert requests.dropped == 111
