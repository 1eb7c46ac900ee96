"""Ambiguous requests, from `smuggling.toml`: refused, or taken by all for the same thing, on all ways.


Each case has a host name of its own below one app's, and a second app that must get nothing. The apps read what comes
by the letter (recorder.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.e2e.edge.edge_harness import AnyName, Bench, bench
from tests.e2e.edge.raw_h2 import DATA, END_HEADERS, END_STREAM, HEADERS, block, connected, frame, unverified
from tests.e2e.edge.recorder import Recorder, recording

from roost.edge.contract import Endpoint, Route
from roost.edge.replay_cache import Entry
from roost.model.replay_order import ReplayOrder

CASES: dict[str, dict[str, dict[str, Any]]] = tomllib.loads(Path(__file__).with_name("smuggling.toml").read_text())
QUIET = 0.3  # seconds without another byte that are the end of an answer
AT_ONCE = 40
PATIENCE = 8.0  # below the time that a client has for its headers: a case that waits for more is undecided
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")


@dataclass
class Fleet:
    at: Bench
    app: Recorder
    other: Recorder

    async def check(self, way: str, kind: str, port: int, name: str = "") -> None:
        """Run all cases of a kind on one way; `name` is a server's name where the way is TLS."""
        cases = CASES[kind]
        hosts = {key: f"c{number}.{way}.localhost" for number, key in enumerate(cases)}
        turns = asyncio.Semaphore(AT_ONCE)

        async def run(key: str) -> list[int]:
            async with turns:
                return await (_http1 if kind == "http1" else _http2)(port, cases[key], hosts[key], name)

        answers = await asyncio.gather(*map(run, cases))
        wrong = [
            fault
            for (key, case), got in zip(cases.items(), answers, strict=True)
            for fault in self._judge(key, case, hosts[key], got)
        ]
        wrong += [f"upstream: {fault}" for fault in self.app.faults + self.other.faults]
        wrong += [f"another app got {got} of {got.host}" for got in self.other.requests]
        assert not wrong, "\n".join([way, *wrong])

    def _judge(self, key: str, case: dict[str, Any], host: str, got: list[int]) -> list[str]:
        expected = _expected(case)
        wrong = [] if got in expected else [f"{key}: answered {got}, not {expected}"]
        label = host.split(".")[0]
        mine = [one for one in self.app.requests if one.host.lower().split(".")[0] == label]
        reaches, early = (
            [_filled(text, host).decode("latin-1") for text in case.get(at, ())] for at in ("reaches", "early")
        )
        seen = [str(one) for one in mine]
        if seen != reaches[: got.count(200)] and not (early and seen == early):
            wrong.append(f"{key}: the app got {seen}, and the client {got}")
        for one in mine:
            told = dict(one.headers)
            if told.get("fly-client-ip") != "127.0.0.1" or "6.6.6.6" in str(one.headers):
                wrong.append(f"{key}: the app was told of another client: {one.headers}")
        return wrong


def _expected(case: dict[str, Any]) -> list[list[int]]:
    """Return the statuses that may be answered."""
    return case["answers"] if isinstance(case["answers"][0], list) else [case["answers"]]


def _filled(text: str, host: str) -> bytes:
    text = text.replace("{host}", host).replace("{HOST}", host.upper()).replace("{other}", "c.other.localhost")
    return text.encode("latin-1")


async def _http1(port: int, case: dict[str, Any], host: str, name: str) -> list[int]:
    """Return the statuses of what is answered until nothing more comes."""
    context = unverified("http/1.1") if name else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or None)
    data, fewest = b"", min(map(len, _expected(case)))
    try:
        writer.write(_filled(case["send"], host))
        with contextlib.suppress(TimeoutError, ConnectionError):
            while more := await asyncio.wait_for(
                reader.read(65536), QUIET if len(_STATUS.findall(data)) >= fewest else PATIENCE
            ):
                data += more
    finally:
        writer.transport.abort()
    return [int(status) for status in _STATUS.findall(data)]


async def _http2(port: int, case: dict[str, Any], host: str, name: str) -> list[int]:
    """Return the status of the answer; a stream or connection that was reset for it is a 400."""
    headers = [(_filled(key, host), _filled(value, host)) for key, value in case["headers"]]
    data = _filled(case.get("data", ""), host)
    async with connected(port, name=name) as link:
        link.send(frame(HEADERS, END_HEADERS | (0 if data else END_STREAM), 1, block(headers)))
        if data:
            link.send(frame(DATA, END_STREAM, 1, data))
        await link.over(1, PATIENCE)
        return link.statuses[1] or [400]


@pytest_asyncio.fixture
async def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Fleet]:
    cells = getattr(request, "param", 1)
    async with bench(tmp_path, certificates=AnyName(), cells=cells) as at, recording() as app, recording() as other:
        here = Endpoint("m", "127.0.0.1", app.port)
        for route in ("awake", "replayed"):
            await at.edge.put(Route(route, (f"*.{route}.localhost",), (here,)))
            at.waker.apps[f"{route}.localhost"] = (route, here)
        await at.edge.put(
            Route("other", ("*.other.localhost", "other.localhost"), (Endpoint("o", "127.0.0.1", other.port),))
        )
        for number in range(len(CASES["http1"])):  # also where a front leads to a cell that has no route
            for way in ("asleep", "awake"):
                at.waker.apps[f"c{number}.{way}.localhost"] = (way, here)
        yield Fleet(at, app, other)


async def test_http1_awake(fleet: Fleet) -> None:
    await fleet.check("awake", "http1", fleet.at.cloud.http_port)


async def test_http1_by_tls(fleet: Fleet) -> None:
    await fleet.check("awake", "http1", fleet.at.cloud.https_port, "c.awake.localhost")


async def test_http1_asleep(fleet: Fleet) -> None:
    await fleet.check("asleep", "http1", fleet.at.cloud.http_port)


async def test_http1_replayed(fleet: Fleet) -> None:
    """All of the app's requests go by way of the replay server."""
    entry = Entry(("path", "nobody.localhost", "/"), ReplayOrder(app="replayed"), "m", time.time() + 60, False)
    fleet.at.edge._shared.remembered.cache.remember("replayed", entry)
    await fleet.at.edge.put(fleet.at.edge._routes["replayed"])
    await fleet.check("replayed", "http1", fleet.at.cloud.http_port)
    assert len(fleet.at.waker.wishes) >= len(fleet.app.requests) > 10


@pytest.mark.parametrize("fleet", [3], indirect=True)
async def test_http1_through_the_front(fleet: Fleet) -> None:
    await fleet.check("awake", "http1", fleet.at.cloud.http_port)


async def test_http2(fleet: Fleet) -> None:
    await fleet.check("awake", "http2", fleet.at.cloud.http_port)


async def test_what_a_client_says_of_itself_reaches_no_app(fleet: Fleet) -> None:
    """In HTTP/1.1 and HTTP/2, in the clear and by TLS, awake and asleep."""
    lies = [
        ("fly-client-ip", "6.6.6.6"), ("Roost-Client-IP", "6.6.6.6"), ("FLY-region", "6.6.6.6"), ("fly-x", "6.6.6.6"),
        ("roost-activator", "6.6.6.6"), ("roost-flycast-address", "6.6.6.6"), ("x-envoy-original-path", "6.6.6.6"),
        ("x-envoy-attempt-count", "refuse-6.6.6.6"),
        ("x-envoy-external-address", "6.6.6.6"), ("x-forwarded-proto", "6.6.6.6"), ("x-forwarded-ssl", "6.6.6.6"),
        ("x-forwarded-host", "6.6.6.6"), ("forwarded", "for=6.6.6.6"), ("proxy", "6.6.6.6"),
        ("x-original-url", "/6.6.6.6"), ("x-request-id", "6.6.6.6"), ("x-forwarded-for", "9.9.9.9"),
    ]  # fmt: skip
    cloud = fleet.at.cloud
    for way in ("awake", "asleep"):
        host = f"c0.{way}.localhost"
        lines = "".join(f"{name}: {value}\r\n" for name, value in lies)
        case = {"send": f"GET /a HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n", "answers": [200]}
        pairs = [[":method", "GET"], [":scheme", "http"], [":authority", host], [":path", "/a"]]
        case2 = {"headers": [*pairs, *([name.lower(), value] for name, value in lies)]}
        for port, name in ((cloud.http_port, ""), (cloud.https_port, host)):
            assert await _http1(port, case, host, name) == [200]
            assert await _http2(port, case2, host, name) == [200]
            for got in fleet.app.requests[-2:]:
                told = dict(got.headers)
                assert "6.6.6.6" not in str(got.headers)
                assert told["fly-client-ip"] == "127.0.0.1"
                assert told["x-forwarded-for"] == "9.9.9.9,127.0.0.1"
                assert told["x-forwarded-proto"] == ("https" if name else "http")
    assert len(fleet.app.requests) == 8


async def test_http2_by_tls_asleep(fleet: Fleet) -> None:
    await fleet.check("asleep", "http2", fleet.at.cloud.https_port, "c.asleep.localhost")
