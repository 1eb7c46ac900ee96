from __future__ import annotations

import json

import pytest

from roost.model import errors
from roost.model.errors import BadInput
from roost.sdk.errors import error_from_answer
from roost.sdk.transport import check_base_url, is_loopback, join


@pytest.mark.parametrize(
    "cls",
    [errors.BadInput, errors.Unauthorized, errors.Forbidden, errors.NotFound, errors.TimedOut, errors.Conflict,
     errors.FailedPrecondition, errors.NameTaken, errors.Unprocessable, errors.InsufficientCapacity,
     errors.HostFailure],
)  # fmt: skip
def test_an_error_comes_back_as_what_it_was(cls: type[errors.RoostError]) -> None:
    sent = cls("it failed", hint="do that")
    body = json.dumps(sent.to_json()).encode()
    found = error_from_answer(cls.status, body, {}, request="GET /x")
    assert (type(found), found.message, found.hint, found.code) == (cls, "it failed", "do that", cls.code)


@pytest.mark.parametrize(
    ("status", "body", "cls", "text"),
    [
        (404, b"404 page not found", errors.NotFound, "404 page not found"),
        (502, b"<html>bad</html>", errors.RoostError, "answered with 502"),
        (503, b"", errors.InsufficientCapacity, "GET /x was answered with 503"),
        (422, b'{"error": "no"}', errors.Unprocessable, "no"),
        (418, b"[1]", errors.RoostError, "418"),
        (400, b'{"error": 5, "hint": 7}', errors.BadInput, "400"),
    ],
)
def test_answers_that_are_not_the_apis(status: int, body: bytes, cls: type, text: str) -> None:
    found = error_from_answer(status, body, {"retry-after": "3"}, request="GET /x")
    assert type(found) is cls
    assert text in found.message
    assert (found.status, found.hint) == (status, "try again in 3 s")


def test_paths() -> None:
    assert join("apps", "a b", "x/y?z") == "/v1/apps/a%20b/x%2Fy%3Fz"
    for bad in ("", ".", ".."):
        with pytest.raises(BadInput):
            join("apps", bad)


def test_addresses() -> None:
    assert check_base_url("https://cloud.example:4280/v1") == "https://cloud.example:4280"
    for bad in ("cloud.example", "ftp://x", "http://user:pass@x", "http://x/?a=1", "http://"):
        with pytest.raises(BadInput):
            check_base_url(bad)
    assert all(
        is_loopback(url) for url in ("http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "http://a.localhost")
    )
    assert not any(is_loopback(url) for url in ("http://10.0.0.1", "https://cloud.example", "http://localhost.example"))
