"""The replay server's pure parts: heads, trips, and what is remembered."""

from __future__ import annotations

import base64

import pytest

from roost.edge.http_head import BadMessage, Fields, parse_request, parse_response
from roost.edge.replay_cache import MAX_PATHS, Entry, ReplayCache, path_key, session_key
from roost.edge.replaying import MAX_REPLAYS, TOO_LARGE, TOO_MANY, Trip, answered_by, order_from_envoy
from roost.model.errors import BadInput
from roost.model.replay_order import ReplayOrder, Transform, cache_order
from roost.model.steering import SessionRule, Wish


def request(*lines: str, path: str = "/p") -> Fields:
    return parse_request("\r\n".join((f"GET {path} HTTP/1.1", "Host: a.b", *lines, "", "")).encode())


def trip(*lines: str) -> Trip:
    return Trip("hello", request(*lines), 100.0)


def test_heads() -> None:
    status, fields = parse_response(b"HTTP/1.1 204 No\r\nA:  b \r\nA: c\r\n\r\n")
    assert (status, fields.get("a"), fields.has("x")) == (204, "b,c", False)
    fields.set("a", "d\r\ne: f")
    assert fields.render() == b"HTTP/1.1 204 No\r\na: d  e: f\r\n\r\n"
    for bad in (b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 20\r\n\r\n", b"HTTP/1.1 200 OK\r\nA b\r\n\r\n", b"\r\n\r\n", b""):
        with pytest.raises(BadMessage):
            parse_response(bad)
    for bad in (b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n A: b\r\n\r\n", b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n"):
        with pytest.raises(BadMessage):
            parse_request(bad)


def test_a_replay_carries_its_source_and_nothing_of_the_edges() -> None:
    it = trip(
        "Roost-Order: s:x", "Roost-Route: app/hello", "Steer-Prefer-Region: x", "Fly-Replay-Src: forged", "X-A: 1",
        "Roost-Flycast-Host: a", "Roost-Flycast-Address: 10.0.0.9",
    )  # fmt: skip
    order = ReplayOrder(app="other", state="s", transform=Transform("/q", ("x-a",), (("x-b", "2"),)))
    assert it.replay(order, asker="hello", source="m1", region="r") is None
    assert (it.target_app, it.target) == ("other", Wish())
    sent = parse_request(it.outgoing(2.5))
    assert sent.first == b"GET /q HTTP/1.1"
    assert {name for name, _ in sent.lines} == {"host", "x-b", "fly-replay-src", "roost-replay-src"}
    assert sent.get("fly-replay-src") == "instance=m1;region=r;t=2500000;state=s"


def test_replays_have_an_end() -> None:
    it = trip()
    for _ in range(MAX_REPLAYS):
        assert it.replay(ReplayOrder(app="hello"), asker="hello", source="m", region="r") is None
    assert it.replay(ReplayOrder(app="hello"), asker="hello", source="m", region="r") is TOO_MANY
    it = trip()
    it.record(b"x" * 1_000_000)
    assert it.replay(ReplayOrder(app="hello"), asker="hello", source="m", region="r") is None
    it.record(b"x" * 1_000_000)
    assert it.replay(ReplayOrder(app="hello"), asker="hello", source="m", region="r") is TOO_LARGE


def test_falling_back() -> None:
    it = trip()
    order = ReplayOrder(app="other", regions=("iad",), fallback="force_self", transform=Transform("/q"))
    it.replay(order, asker="hello", source="m1", region="r")
    assert it.fall_back("timeout", 101.5) == Wish(instance="m1")
    sent = parse_request(it.outgoing(2.0))
    assert sent.first == b"GET /p HTTP/1.1"
    expected = "instance=;app=other;region=iad;replay_source=m1;reason=timeout;elapsed_ms=1500"
    assert sent.get("fly-replay-failed") == sent.get("roost-replay-failed") == expected
    assert not sent.has("fly-replay-src")
    assert it.target_app == "hello"
    assert it.fall_back("timeout", 102.0) is None
    it = trip()
    it.replay(ReplayOrder(app="other"), asker="hello", source="m1", region="r")
    assert it.fall_back("timeout", 101.5) is None


def test_what_the_hook_keeps() -> None:
    def kept(kind: str, cache: str, order: str) -> str:
        return f"s:{kind}:{base64.b64encode(cache.encode()).decode()}:{base64.b64encode(order.encode()).decode()}"

    ordered = order_from_envoy(kept("header", "a.b/*\n60\nyes", "app=x"))
    assert (ordered.order, ordered.cache) == (ReplayOrder(app="x"), cache_order("a.b/*", 60, allow_bypass=True))
    assert order_from_envoy(kept("json", "\n\n", '{"app":"x"}')).order == ReplayOrder(app="x")
    for bad in (kept("large", "", ""), kept("header", "a.b/*\nten\n", "app=x"), "s:x", "", "s:header:!:!"):
        with pytest.raises(BadInput):
            order_from_envoy(bad)


def test_who_answered_is_a_machine_or_one_of_our_own_servers() -> None:
    assert answered_by("10.0.0.1:8080") == "10.0.0.1"
    assert answered_by("[fdaa::1]:8080") == "fdaa::1"
    for unknown in ("/run/roost/x/activator.sock", "", "-"):
        assert answered_by(unknown) == ""


def entry(prefix: str, until: float = 100.0) -> Entry:
    return Entry(path_key(cache_order(prefix, 60)), ReplayOrder(app="x"), "m", until, allow_bypass=False)


def test_paths_are_remembered_for_one_app_and_a_time() -> None:
    cache = ReplayCache()
    cache.remember("hello", entry("a.b/*"))
    cache.remember("hello", entry("a.b/u/*"))
    found = cache.find("hello", "a.b", request(path="/u/1?q"), (), 50.0)
    assert found is not None
    assert found.key == ("path", "a.b", "/u/*")
    assert cache.find("other", "a.b", request(path="/u/1"), (), 50.0) is None
    assert cache.find("hello", "c.d", request(path="/u/1"), (), 50.0) is None
    assert cache.paths("hello", 50.0) == ("/", "/u/")
    assert cache.find("hello", "a.b", request(path="/u/1"), (), 100.0) is None
    assert cache.paths("hello", 100.0) == ()
    cache.remember("hello", entry("a.b/*"))
    cache.forget("hello", cache_order("a.b/*", 60))
    assert cache.apps() == ()


def test_what_is_remembered_of_an_app_goes_with_it() -> None:
    cache = ReplayCache()
    for app in ("a", "b"):
        cache.remember(app, entry("h/x*"))
    cache.forget_all("a")
    cache.forget_all("a")
    assert cache.apps() == ("b",)


def test_what_is_remembered_is_bounded() -> None:
    cache = ReplayCache()
    for number in range(MAX_PATHS + 20):
        cache.remember("hello", entry(f"a.b/{number}"))
    assert len(cache.paths("hello", 0.0)) == MAX_PATHS
    assert "/0" not in cache.paths("hello", 0.0)


def test_sessions() -> None:
    cookie = SessionRule("cookie", "sid", 60, "/app")
    header = SessionRule("header", "x-tenant", 60)
    assert session_key(cookie, request("Cookie: a=1; sid=v", path="/app/x")) == ("session", "cookie", "sid", "v")
    assert session_key(cookie, request("Cookie: a=1; sid=v", path="/x")) is None
    assert session_key(cookie, request("Cookie: xsid=v", path="/app")) is None
    assert session_key(header, request("X-Tenant: t")) == ("session", "header", "x-tenant", "t")
    assert session_key(header, request("X-Tenant: " + "t" * 600)) is None
