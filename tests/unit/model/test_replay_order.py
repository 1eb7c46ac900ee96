"""What apps may ask for with fly-replay, in both forms, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.model.errors import BadInput
from roost.model.replay_order import ReplayOrder, Transform, cache_order, order_from_header, order_from_json


def test_both_forms_say_the_same() -> None:
    header = (
        "region=iad, us;instance=0A1b;prefer_instance=ff;app=Shop;state=a=b, c;elsewhere=true;timeout=500ms;"
        "fallback=prefer_self"
    )
    fields = {
        "region": ["iad", "us"], "instance": "0A1b", "prefer_instance": "ff", "app": "Shop", "state": "a=b, c",
        "elsewhere": True, "timeout": 0.5, "fallback": "prefer_self",
    }  # fmt: skip
    expected = ReplayOrder(
        ("iad", "us"), "0a1b", "ff", "shop", state="a=b, c", elsewhere=True, timeout=0.5, fallback="prefer_self"
    )
    assert order_from_header(header) == order_from_json(json.dumps(fields).encode()) == expected
    assert order_from_header(" app = shop ; ") == ReplayOrder(app="shop")


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5), ("1m", 60), ("2", 2), ("90m", 60), ("1.5s", 1.5)])
def test_timeouts(text: str, seconds: float) -> None:
    assert order_from_header(f"app=a;timeout={text}").timeout == seconds


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("", "no target"), ("state=x", "no target"), ("app", "'app'"), ("colour=red", "'colour'"),
        ("app=a;app=b", "twice"), ("app=a b", "app"), ("app=../x", "app"), ("instance=xyz", "instance"),
        ("app=a;elsewhere=maybe", "elsewhere"), ("app=a;timeout=soon", "timeout"), ("app=a;timeout=0s", "timeout"),
        ("app=a;fallback=other", "fallback"), ("app=a;state=\x01", "state"), ("app=a;state=é", "state"),
        ("app=a;state=" + "x" * 5000, "state"), ("x" * 20_000, "longer"), ("region=a\r\nb", "region"),
    ],
)  # fmt: skip
def test_headers_that_are_refused(header: str, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        order_from_header(header)


def test_a_transform() -> None:
    order = order_from_json(
        b'{"app":"a","transform":{"path":"/x?y=%20","delete_headers":["Cookie"],'
        b'"set_headers":[{"name":"X-A","value":"1"}]}}'
    )
    assert order.transform == Transform("/x?y=%20", ("cookie",), (("x-a", "1"),))


@pytest.mark.parametrize(
    "transform",
    [
        {"path": "x"}, {"path": "/a b"}, {"path": "/a\r\nX: y"}, {"path": "/#f"}, {"path": "/é"}, {"way": "/x"},
        {"delete_headers": ["fly-client-ip"]}, {"delete_headers": ["Host"]}, {"delete_headers": "x"},
        {"delete_headers": [""]}, {"delete_headers": ["a_b"]}, {"delete_headers": ["x"] * 51},
        *[
            {"set_headers": [{"name": name, "value": "v"}]}
            for name in ("Roost-Fault", "Fly-Replay-Src", "Transfer-Encoding", "Content-Length", "Connection", "TE",
                         "X-Forwarded-For", "X-Envoy-Retry-On", "a b", "a:b", "a\r\nb", "Host", "Upgrade", ":path")
        ],
        *[{"set_headers": [{"name": "x", "value": value}]} for value in ("a\r\nb: c", "a\n", "\0", " a", 5, None)],
        {"set_headers": [{"name": "x"}, {"value": "y"}]}, {"set_headers": [{"name": "x", "value": "y", "z": 1}]},
        {"set_headers": ["x"]}, [],
    ],
)  # fmt: skip
def test_transforms_that_are_refused(transform: Any) -> None:
    with pytest.raises(BadInput):
        order_from_json(json.dumps({"app": "a", "transform": transform}).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"1", b"\xff", b"[" * 100_000, b'{"app":1}', b'{"app":"a","b":1}'])
def test_bodies_that_are_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        order_from_json(body)


def test_caching() -> None:
    order = order_from_json(b'{"app":"a","cache":{"prefix":"Example.com/U/*","ttl":10,"allow_bypass":true}}')
    assert order.cache == cache_order("example.com/U/*", 10, allow_bypass=True)
    gone = order_from_json(b'{"cache":{"prefix":"example.com/*","invalidate":true}}')
    assert gone.cache is not None
    assert gone.cache.invalidate


@pytest.mark.parametrize(
    ("prefix", "ttl"),
    [("a.b/*", 9), ("a.b/*", 100_000), ("/*", 60), ("", 60), ("a b/*", 60), ("a.b/x?y*", 60), ("a.b/*/c", 60)],
)
def test_caching_that_is_refused(prefix: str, ttl: int) -> None:
    with pytest.raises(BadInput):
        cache_order(prefix, ttl)


@given(st.text(max_size=200))
def test_no_header_makes_another_error(text: str) -> None:
    try:
        order = order_from_header(text)
    except BadInput:
        return
    assert "\r" not in order.state
    assert "\n" not in order.state


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(
    ["region", "instance", "app", "state", "elsewhere", "timeout", "fallback", "transform", "cache"]
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_no_object_makes_another_error(data: dict[str, Any]) -> None:
    try:
        order_from_json(json.dumps(data).encode())
    except BadInput:
        return
