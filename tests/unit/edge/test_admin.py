"""Reading what Envoy's admin interface answers."""

from __future__ import annotations

from http.client import HTTPException

import pytest

from roost.edge.admin import _text

HEAD = b"HTTP/1.1 200 OK\r\nserver: envoy\r\nconnection: close\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def test_an_answer_in_pieces_is_put_together() -> None:
    assert _text(CHUNKED + b"4\r\na: 1\r\n5\r\n\nb: 2\r\n0\r\n\r\n") == "a: 1\nb: 2"
    assert _text(CHUNKED + b"0\r\n\r\n") == ""
    assert _text(HEAD + b"content-length: 2\r\n\r\nOK") == "OK"


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        CHUNKED,
        CHUNKED + b"4\r\na:",
        CHUNKED + b"4\r\na: 1\r\n",
        HEAD + b"content-length: 9\r\n\r\nOK",
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
    ],
)
def test_silence_a_torn_answer_and_a_failure_are_no_answer(torn: bytes) -> None:
    with pytest.raises(HTTPException):
        _text(torn)
