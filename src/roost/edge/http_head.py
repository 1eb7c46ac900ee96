"""Heads of HTTP/1.1 messages, read by the letter and changed: what activator and replay server need of HTTP. Pure.

One side is Envoy, which has normalised the request; the other is an app, of which nothing is trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

END = b"\r\n\r\n"  # of a head
_REQUEST = re.compile(rb"([!-~]{1,64}) ([!-~\x80-\xff]+) HTTP/1\.[01]")
_RESPONSE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9])(?: [^\r\n\0]*)?")
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_IN_VALUES = re.compile(rb"[\r\n\0]")


class BadMessage(ValueError):
    """The bytes are not the head of an HTTP/1.1 message."""


@dataclass(slots=True)
class Fields:
    """The first line and the header lines of a message, in order. Names are lower case."""

    first: bytes
    lines: list[tuple[str, bytes]] = field(default_factory=list)

    def get(self, name: str) -> str:
        """Return a header's values, joined by commas; "" when there is none."""
        return ",".join(value.decode("latin-1") for key, value in self.lines if key == name)

    def has(self, name: str) -> bool:
        """Return whether there is such a header."""
        return any(key == name for key, _ in self.lines)

    def remove(self, names: Iterable[str]) -> None:
        """Drop all headers of these names."""
        gone = frozenset(names)
        self.lines = [(key, value) for key, value in self.lines if key not in gone]

    def set(self, name: str, value: str) -> None:
        """Put one header in place of all of its name. Line breaks can't get in."""
        text = value.encode("latin-1", "replace").replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\0", b" ")
        self.remove((name,))
        self.lines.append((name, text))

    def render(self) -> bytes:
        """Return the head with its empty line."""
        return b"\r\n".join([self.first, *(key.encode("latin-1") + b": " + value for key, value in self.lines)]) + END

    def copy(self) -> Fields:
        """Return one that can be changed apart."""
        return Fields(self.first, list(self.lines))


def parse_request(data: bytes) -> Fields:
    """Parse a request's head with its empty line; raises BadMessage."""
    found = _fields(data)
    if not _REQUEST.fullmatch(found.first):
        raise BadMessage("not a request line")
    return found


def parse_response(data: bytes) -> tuple[int, Fields]:
    """Parse a response's head with its empty line into status and headers; raises BadMessage."""
    found = _fields(data)
    match = _RESPONSE.fullmatch(found.first)
    if match is None:
        raise BadMessage("not a status line")
    return int(match[1]), found


def _fields(data: bytes) -> Fields:
    first, *lines = data.removesuffix(END).split(b"\r\n")
    found = Fields(first)
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or _NOT_IN_VALUES.search(value):
            raise BadMessage("not a header line")
        found.lines.append((name.decode("ascii").lower(), value.strip(b" \t")))
    return found


def request_line(request: Fields) -> tuple[str, str]:
    """Return method and target of a request."""
    method, target, _ = request.first.split(b" ")
    return method.decode("ascii"), target.decode("latin-1")


def with_target(request: Fields, target: str) -> Fields:
    """Return a copy that asks for another target."""
    method, _, version = request.first.split(b" ")
    changed = request.copy()
    changed.first = b" ".join((method, target.encode("ascii"), version))
    return changed
