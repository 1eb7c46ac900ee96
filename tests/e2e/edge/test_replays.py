"""Replays and steering with a real Envoy: two machines of one app, one of another, and an app of another org."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio
from tests.e2e.edge.edge_harness import Answer, App, Bench, fetch, serving
from websockets.asyncio.client import connect

from roost.edge.contract import Endpoint, Route

FIRST, SECOND, OTHER, STRANGER = "00000000000001", "00000000000002", "00000000000003", "00000000000004"


@dataclass
class Replaying(App):
    """Answers as the request's header `x-do` says (base64 of an answer), but a request that was replayed plainly."""

    async def answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head.strip().split("\r\n")[1:])}
        again = "fly-replay-src" in headers or "fly-replay-failed" in headers
        if "x-do" not in headers or (again and "x-always" not in headers):
            if headers.get("upgrade") == "websocket":
                return await self.upgrade(headers["sec-websocket-key"], reader, writer)
            if "content-length" in headers and int(headers["content-length"]):
                body = await reader.readexactly(int(headers["content-length"]))
                head = head.strip() + f"\r\nbody: {hashlib.sha256(body).hexdigest()}\r\n\r\n"
            return await super().answer(head, reader, writer)
        size = int(headers.get("content-length", "0"))
        if "x-late" in headers:
            await reader.readexactly(size)
        writer.write(base64.b64decode(headers["x-do"]) + b" " * int(headers.get("x-fill", "0")))
        writer.write(base64.b64decode(headers.get("x-last", "")))
        await writer.drain()
        if "x-late" not in headers:
            await reader.readexactly(size)
        return True

    async def upgrade(self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        writer.write(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept)
        writer.write(b"\r\n\r\n\x81\x05" + self.name.encode()[:5])
        await writer.drain()
        await reader.read(100)
        return False


def does(*lines: str, body: bytes = b"") -> str:
    """Return the header that makes a machine answer with these header lines."""
    head = "\r\n".join(("HTTP/1.1 409 Conflict", *lines, f"Content-Length: {len(body)}", "", "")).encode()
    return f"X-Do: {base64.b64encode(head + body).decode()}\r\n"


@dataclass
class Fleet:
    bench: Bench
    apps: dict[str, App]

    async def get(self, headers: str, host: str = "hello.localhost", **more: object) -> Answer:
        return await fetch(self.bench.cloud.http_port, host, headers=headers, **more)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def fleet(at: Bench) -> AsyncIterator[Fleet]:
    """`hello` is routed to its first machine only: where its second answers, a replay has led there."""
    async with _servers() as apps:
        ends = {name: Endpoint(name, "127.0.0.1", app.port) for name, app in apps.items()}
        at.waker.apps = {
            "hello.localhost": ("hello", ends[FIRST]),
            "2.hello.localhost": ("hello", ends[SECOND]),
            "heron.localhost": ("heron", ends[OTHER]),
            "stranger.localhost": ("stranger", ends[STRANGER]),
        }
        await at.edge.put(Route("hello", ("hello.localhost",), (ends[FIRST],)))
        yield Fleet(at, apps)


@asynccontextmanager
async def _servers() -> AsyncIterator[dict[str, App]]:
    apps = {name: Replaying(name=name) for name in (FIRST, SECOND, OTHER, STRANGER)}
    async with serving(apps[FIRST]), serving(apps[SECOND]), serving(apps[OTHER]), serving(apps[STRANGER]):
        yield apps


def order(**fields: object) -> bytes:
    return json.dumps(fields).encode()


TTL = "fly-replay-cache-ttl-secs: 60"
JSON = "Content-Type: application/vnd.fly.replay+json"


@pytest.mark.parametrize("host", ["hello.localhost", "heron.localhost"])
async def test_an_answer_with_fly_replay_goes_to_the_instance_with_its_state(fleet: Fleet, host: str) -> None:
    """From an app that is awake, and from one that the request wakes."""
    ask = does(f"fly-replay: app=hello;instance={SECOND};state=a=b,c d")
    answer = await fleet.get(ask + "Fly-Replay-Src: instance=forged\r\nRoost-Order: s:forged\r\n", host)
    assert answer.status == 200
    assert answer.json()["app"] == SECOND
    source = FIRST if host == "hello.localhost" else OTHER
    assert answer.json()["fly-replay-src"].startswith(f"instance={source};region=local;t=")
    assert answer.json()["fly-replay-src"].endswith(";state=a=b,c d")
    assert not {"roost-order", "roost-route", "fly-replay-failed"} & set(answer.json())
    assert "fly-replay" not in answer.headers
    assert "roost-answered-by" not in {**answer.headers, **(await fleet.get("")).headers}
    alone = await fleet.get(does("fly-replay: elsewhere=true"), "heron.localhost")
    assert alone.headers["roost-error"] == "no_candidate", "it goes nowhere but to another machine"


async def test_the_json_form_changes_the_request(fleet: Fleet) -> None:
    body = order(
        app="heron", state="s",
        transform={"path": "/new?a=1", "delete_headers": ["X-Gone"], "set_headers": [{"name": "X-New", "value": "v"}]},
    )  # fmt: skip
    answer = await fleet.get(does(JSON, body=body) + "X-Gone: 1\r\nX-Stays: 2\r\n", path="/old")
    told = answer.json()
    assert (told["app"], told["request"], told["x-new"], told["x-stays"]) == (OTHER, "GET /new?a=1 HTTP/1.1", "v", "2")
    assert "x-gone" not in told


async def test_a_body_is_replayed_in_full_and_one_that_is_too_large_is_refused(fleet: Fleet) -> None:
    ask = does("fly-replay: app=heron")
    for late in ("", "X-Late: 1\r\n"):
        body = random.Random(late).randbytes(1_000_000)
        answer = await fleet.get(ask + late, method="POST", body=body)
        assert (answer.status, answer.json()["app"], answer.json()["content-length"]) == (200, OTHER, "1000000")
        assert answer.json()["body"] == hashlib.sha256(body).hexdigest()
    answer = await fleet.get(ask + "X-Late: 1\r\n", method="POST", body=b"x" * 3_000_000)
    assert (answer.status, answer.headers["fly-error"]) == (502, "PA01")
    assert (answer.headers["roost-error"], answer.headers["roost-fault"]) == ("replay_too_large", "app")
    assert answer.body.startswith(b"502 Bad Gateway: The app asked for a replay")
    page = await fleet.get(ask + "X-Late: 1\r\nAccept: text/html\r\n", method="POST", body=b"x" * 3_000_000)
    assert page.headers["content-type"].startswith("text/html") and b"<h1>The app asked" in page.body


async def test_a_large_body_is_replayed_if_the_app_answers_before_it_has_come(fleet: Fleet) -> None:
    """What has not come yet is not kept, but streamed. How much has come is up to the network."""
    statuses = set()
    for number in range(20):
        method, path = "GET" if number % 2 else "POST", f"/grows/{number}"
        body = random.Random(number).randbytes(3_000_000)
        answer = await fleet.get(does("fly-replay: app=heron"), method=method, path=path, body=body)
        if answer.status == 200:
            assert answer.json()["body"] == hashlib.sha256(body).hexdigest()
        statuses.add((answer.status, answer.headers.get("fly-error"), answer.headers.get("roost-error")))
        if answer.status == 502:
            assert (await fleet.bench.logged(path)).error == "replay_too_large"
    assert statuses <= {(200, None, None), (502, "PA01", "replay_too_large")}


@pytest.mark.parametrize(
    ("lines", "body", "status", "code"),
    [
        (("fly-replay: app=nothing",), b"", 404, "PA04"),
        (("fly-replay: app=stranger",), b"", 403, "PA05"),
        (("fly-replay: instance=ffffff",), b"", 503, "PR01"),
        (("fly-replay: nonsense",), b"", 502, "PA03"),
        (("fly-replay: app=heron;colour=red",), b"", 502, "PA03"),
        ((JSON,), order(app="heron", transform={"delete_headers": ["Fly-Client-IP"]}), 502, "PA03"),
        ((JSON,), order(app="heron", state="a\r\nx: y"), 502, "PA03"),
        ((JSON,), b"{", 502, "PA03"),
        (("fly-replay: app=127.0.0.1",), b"", 502, "PA03"),
        (("fly-replay: app=stranger.localhost",), b"", 502, "PA03"),
        (("fly-replay: app=http://169.254.169.254/latest",), b"", 502, "PA03"),
        (("fly-replay: app=heron@stranger",), b"", 502, "PA03"),
        (("fly-replay: instance=169.254.169.254",), b"", 502, "PA03"),
        ((f"fly-replay: instance={STRANGER}",), b"", 503, "PR01"),
        ((JSON,), order(app="heron", url="http://203.0.113.9/"), 502, "PA03"),
        ((JSON,), order(app="heron", transform={"path": "http://203.0.113.9/"}), 502, "PA03"),
        ((JSON,), order(app="heron", transform={"path": "/ HTTP/1.1\r\nHost: x"}), 502, "PA03"),
        ((JSON,), order(app="heron", transform={"set_headers": [{"name": "Host", "value": "x"}]}), 502, "PA03"),
        ((JSON,), order(app="heron", transform={"set_headers": [{"name": "Fly-Region", "value": "6"}]}), 502, "PA03"),
        ((JSON,), order(app="heron", transform={"set_headers": [{"name": "X", "value": "a\r\nY: b"}]}), 502, "PA03"),
        ((JSON,), order(app="heron", transform={"set_headers": [{"name": "X: a\r\nY", "value": "b"}]}), 502, "PA03"),
        ((JSON,), order(app="heron", transform={"delete_headers": ["Transfer-Encoding"]}), 502, "PA03"),
        (("fly-replay: app=heron", "fly-replay-cache: stranger.localhost/*", TTL), b"", 502, "PA03"),
    ],
)  # fmt: skip
async def test_replays_that_can_not_be(
    fleet: Fleet, lines: tuple[str, ...], body: bytes, status: int, code: str
) -> None:
    answer = await fleet.get(does(*lines, body=body))
    assert (answer.status, answer.headers["fly-error"]) == (status, code)
    assert fleet.apps[STRANGER].requests == 0


async def test_what_became_of_a_replay_is_in_the_log_as_on_the_page(fleet: Fleet) -> None:
    awake, asleep = "hello.localhost", "heron.localhost"
    wanted = (  # path, host, headers, machine, class
        ("/there", awake, does("fly-replay: app=heron"), OTHER, ""),
        ("/woken", asleep, does(f"fly-replay: app=hello;instance={SECOND}"), SECOND, ""),
        ("/nothing", awake, does("fly-replay: app=nothing"), FIRST, "replay_app_not_found"),
        ("/odd", awake, does("fly-replay: nonsense"), FIRST, "replay_invalid"),
        ("/loop", awake, does("fly-replay: app=hello") + "X-Always: 1\r\n", FIRST, "too_many_replays"),
        ("/nowhere", awake, "Fly-Force-Region: nrt\r\n", "", "no_candidate"),
        ("/unawake", asleep, "Fly-Force-Region: nrt\r\n", "", "no_candidate"),
    )
    for path, host, headers, machine, code in wanted:
        answer = await fleet.get(headers, host, path=path)
        one = await fleet.bench.logged(path, host.partition(".")[0])
        assert (one.machine, one.error) == (machine, code), path
        assert answer.headers.get("roost-error", "") == code
    large = await fleet.get(
        does("fly-replay: app=heron") + "X-Late: 1\r\n", method="POST", body=b"x" * 3_000_000, path="/large"
    )
    assert (await fleet.bench.logged("/large")).error == large.headers["roost-error"] == "replay_too_large"


async def test_an_order_has_up_to_16_kb_and_what_is_beyond_is_not_waited_for(fleet: Fleet) -> None:
    said = order(app="heron")
    for size in (16_384, 16_385, 300_000, 2_000_000):
        fill = f"X-Fill: {size - len(said)}\r\n"
        framing = [
            f"{JSON}\r\nContent-Length: {size}\r\n\r\n",
            f"{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n",
        ]
        if size > 16_384:
            framing.append(f"{JSON}\r\nContent-Length: {size + 1}\r\n\r\n")  # the last byte never comes
        for number, lines in enumerate(framing):
            head = base64.b64encode(b"HTTP/1.1 200 OK\r\n" + lines.encode() + said).decode()
            ask = f"X-Do: {head}\r\n{fill}"
            answer = await fleet.get(ask + "X-Last: DQowDQoNCg==\r\n" * (number == 1))
            if size == 16_384:
                assert (answer.status, answer.json()["app"]) == (200, OTHER)
            else:
                assert (answer.status, answer.headers["roost-error"]) == (502, "replay_invalid")
                assert "16 KB" in answer.body.decode()


async def test_headers_of_an_order_come_together_and_are_bounded(fleet: Fleet) -> None:
    many = [f"x-{number}: 1" for number in range(80)]
    answer = await fleet.get(does(*many, "Roost-Replay: app=hello", f"ROOST-REPLAY: x;instance={SECOND}"))
    assert (answer.status, answer.headers["roost-error"]) == (502, "replay_invalid"), "app=hello,x"
    answer = await fleet.get(does(*many, "Roost-Replay: app=nothing", f"fly-replay: app=hello;instance={SECOND}"))
    assert (answer.status, answer.json()["app"]) == (200, SECOND)
    answer = await fleet.get(does(f"fly-replay: app=hello;state={'x' * 17_000}"))
    assert (answer.status, answer.headers["roost-error"]) == (502, "replay_invalid")
    assert (await fleet.get(does("fly-replay: app=heron"), method="HEAD")).status == 200
    answer = await fleet.get(does("X-Envoy-Ratelimited: 1", "Roost-Error: no_machine", "fly-replaz: 1"))
    of_the_edge = [answer.headers.get(name) for name in ("roost-error", "x-envoy-ratelimited")]
    assert (answer.status, of_the_edge) == (409, [None, None])


async def test_a_loop_ends_after_ten_replays(fleet: Fleet) -> None:
    answer = await fleet.get(does("fly-replay: app=hello") + "X-Always: 1\r\n")
    assert (answer.status, answer.headers["fly-error"]) == (508, "PA02")
    assert fleet.apps[FIRST].requests == 11


async def test_a_replay_that_fails_falls_back_and_says_why(fleet: Fleet) -> None:
    answer = await fleet.get(does("fly-replay: region=nrt;fallback=force_self;state=x"))
    assert (answer.status, answer.json()["app"]) == (200, FIRST)
    failed = answer.json()["fly-replay-failed"]
    assert failed.startswith(f"instance=;app=hello;region=nrt;replay_source={FIRST};reason=no_candidate;elapsed_ms=")


async def test_elsewhere_is_another_machine(fleet: Fleet) -> None:
    assert (await fleet.get(does("fly-replay: elsewhere=true"))).json()["app"] == SECOND


async def test_a_websocket_is_replayed_before_it_is_accepted(fleet: Fleet) -> None:
    name, value = does("fly-replay: app=heron").strip().split(": ")
    port = fleet.bench.cloud.http_port
    url = f"ws://hello.localhost:{port}/"
    async with connect(url, host="127.0.0.1", port=port, additional_headers={name: value}) as ws:
        assert await asyncio.wait_for(ws.recv(), 5) == OTHER[:5]


async def test_a_websocket_is_not_replayed_by_an_answer_below_400_and_that_is_said(fleet: Fleet) -> None:
    """Envoy hands such an answer on without a look, of apps that are awake and of those that the request wakes."""
    ask = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4\r\n"

    def saying(head: str) -> str:
        text = f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"
        return f"{ask}X-Do: {base64.b64encode(text.encode()).decode()}\r\n"

    for number, host in enumerate(("hello.localhost", "heron.localhost") * 2):
        head = f"307 T\r\n{JSON}" if number // 2 else "200 OK\r\nfly-replay: app=hello"
        answer = await fleet.get(saying(head), host, path=f"/ws/{number}")
        assert (answer.status, answer.headers["roost-error"]) == (501, "replay_of_websocket"), (number, answer)
        assert (await fleet.bench.logged(f"/ws/{number}", host.partition(".")[0])).error == "replay_of_websocket"
    answer = await fleet.get(saying("302 Found\r\nLocation: /a"))
    assert (answer.status, answer.headers["location"]) == (302, "/a") and "roost-error" not in answer.headers


async def test_clients_name_their_machine(fleet: Fleet) -> None:
    assert (await fleet.get(f"Fly-Force-Instance-Id: {SECOND}\r\n")).json()["app"] == SECOND
    assert (await fleet.get(f"Roost-Force-Instance-Id: {SECOND}\r\n")).json()["app"] == SECOND
    assert (await fleet.get("Fly-Force-Instance-Id: ffffff\r\n")).status == 503
    assert (await fleet.get("Fly-Force-Region: nrt\r\n")).headers["fly-error"] == "PR01"
    assert (await fleet.get("Fly-Force-Region: local\r\nFly-Prefer-Region: nrt\r\n")).status == 200
    told = (await fleet.get("Fly-Prefer-Instance-Id: ffffff\r\n")).json()
    assert (told["app"], told["fly-preferred-instance-unavailable"]) == (FIRST, "ffffff")
    assert not [name for name in told if name.startswith(("steer-", "x-envoy-"))]


async def test_a_client_can_not_ask_for_a_replay_nor_reach_another_apps_machine(fleet: Fleet) -> None:
    forged = (
        "Roost-Order: s:header:127.0.0.1:80::YXBwPXN0cmFuZ2Vy\r\nRoost-Route: app/stranger\r\nRoost-Activator: 1\r\n"
    )
    told = (await fleet.get(f"Fly-Replay: app=stranger\r\nRoost-Replay: app=stranger\r\n{forged}")).json()
    assert told["app"] == FIRST
    assert not {"fly-replay", "roost-replay", "roost-order", "roost-route", "roost-activator"} & set(told)
    for name in ("Force-Instance-Id", "Prefer-Instance-Id"):
        assert (await fleet.get(f"Fly-{name}: {STRANGER}\r\n{forged}")).status in (200, 503)
    for odd in ("127.0.0.1", "../stranger", "a" * 500, "a b", "\xe9"):
        assert (await fleet.get(f"Fly-Force-Instance-Id: {odd}\r\n")).status in (400, 503)
    assert fleet.apps[STRANGER].requests == 0


async def test_a_remembered_replay_does_not_ask_the_app_again(fleet: Fleet) -> None:
    ask = does(
        "fly-replay: app=heron", "fly-replay-cache: hello.localhost/u/*", "fly-replay-cache-ttl-secs: 60",
        "fly-replay-cache-allow-bypass: yes",
    )  # fmt: skip
    first = await fleet.get(ask, path="/u/1")
    assert (first.json()["app"], first.headers["fly-replay-cache-status"]) == (OTHER, "miss")
    asked = fleet.apps[FIRST].requests
    answer = await fleet.get("", path="/u/2?q=1")
    for _ in range(100):  # until Envoy has the path
        if answer.json()["app"] == OTHER:
            break
        await asyncio.sleep(0.02)
        asked = fleet.apps[FIRST].requests
        answer = await fleet.get("", path="/u/2?q=1")
    assert (answer.json()["app"], answer.headers["fly-replay-cache-status"]) == (OTHER, "hit")
    assert fleet.apps[FIRST].requests == asked
    skipped = await fleet.get("Fly-Replay-Cache-Control: skip\r\n", path="/u/2")
    assert (skipped.json()["app"], skipped.headers["fly-replay-cache-status"]) == (FIRST, "bypass")
    assert (await fleet.get("", path="/v")).json()["app"] == FIRST


async def test_while_roostd_is_away_a_steered_request_is_the_clouds_fault_in_the_log_too(fleet: Fleet) -> None:
    await fleet.bench.cell.replays.stop()
    for number, headers in enumerate(("Fly-Force-Region: local\r\n", does("fly-replay: app=heron"))):
        answer = await fleet.get(headers, path=f"/away/{number}")
        one = await fleet.bench.logged(f"/away/{number}")
        assert answer.headers["roost-error"] == one.error == "control_plane_restarting"
