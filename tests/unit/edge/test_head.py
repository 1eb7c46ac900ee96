"""Reading a request's head: what is taken, what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.edge.head import BadHead, parse_head, plain_host


def test_a_head_is_read_and_sent_on_without_the_mark() -> None:
    raw = (
        b"POST /a?b=c HTTP/1.1\r\nHost: App.LocalHost:8080\r\nRoost-Activator: 1\r\nACCEPT: text/html\r\nX: y\r\n%s\r\n"
    )
    private = b"roost-flycast-address: [fdaa::3]\r\n"
    raw, kept = raw % private, raw.replace(b"Roost-Activator: 1\r\n", b"") % b""
    head = parse_head(raw, drop=("roost-activator", "roost-flycast-address"))
    assert (head.method, head.host, head.accept) == ("POST", "app.localhost", "text/html")
    assert head.raw == kept
    assert head.private == "fdaa::3"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: z\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n",
    ],
)
def test_what_is_no_head_is_refused(raw: bytes) -> None:
    with pytest.raises(BadHead):
        parse_head(raw, drop=("x",))


@given(st.binary(max_size=300))
def test_any_bytes_give_a_head_or_a_refusal(raw: bytes) -> None:
    with contextlib.suppress(BadHead):
        parse_head(raw, drop=("x",))


@pytest.mark.parametrize(
    ("given_host", "plain"),
    [
        ("a.localhost", "a.localhost"),
        ("A.Localhost.:80", "a.localhost"),
        ("a:b", "a:b"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
        (":80", ""),
    ],
)
def test_plain_host(given_host: str, plain: str) -> None:
    assert plain_host(given_host) == plain
