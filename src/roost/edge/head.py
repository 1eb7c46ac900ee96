"""The head of an HTTP/1.1 request, as far as the activator needs it. Pure.

Envoy is the only client and has already normalised the request; still nothing here trusts it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD = 128 * 1024  # Envoy lets 64 KiB in and adds a few headers
PRIVATE = b"roost-flycast-address"  # only the edge's listener for private networks sets it
END = b"\r\n\r\n"
_REQUEST_LINE = re.compile(rb"([!-~]+) ([!-~\x80-\xff]+) HTTP/1\.[01]")


class BadHead(ValueError):
    """The bytes are not the head of a request with one host."""


@dataclass(frozen=True, slots=True)
class Head:
    """What was asked. `target` is the path with its query, `host` is lower case,
    without port and trailing dot; `raw` is what to send on.
    """

    method: str
    target: str
    host: str
    accept: str
    raw: bytes
    secure: bool = False  # it came by TLS, says Envoy
    private: str = ""  # the private address that was called
    request_id: str = ""  # the edge's own


def parse_head(data: bytes, *, drop: bytes) -> Head:
    """Parse a head that ends with an empty line; raises BadHead. The header `drop` is left out of `raw`."""
    lines = data.removesuffix(END).split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(lines[0])
    if request is None:
        raise BadHead("not a request line")
    hosts: list[bytes] = []
    accepts: list[bytes] = []
    secure = False
    request_id = b""
    kept = [lines[0]]
    private = ""
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise BadHead("not a header line")
        lower = name.lower()
        if lower == drop:
            continue
        if lower == b"host":
            hosts.append(value.strip())
        elif lower == b"accept":
            accepts.append(value.strip())
        elif lower == b"x-forwarded-proto":  # set by Envoy, whatever the client sent
            secure = value.strip() == b"https"
        elif lower == PRIVATE:
            private = value.strip().decode("latin-1").strip("[]")
        elif lower == b"x-request-id":
            request_id = value.strip()
        kept.append(line)
    if len(hosts) != 1:
        raise BadHead("a request names one host")
    return Head(
        method=request[1].decode("ascii"),
        target=request[2].decode("latin-1"),
        host=plain_host(hosts[0].decode("latin-1")),
        accept=b",".join(accepts).decode("latin-1"),
        raw=b"\r\n".join(kept) + END,
        secure=secure,
        private=private,
        request_id=request_id.decode("latin-1"),
    )


def with_header(head: Head, name: str, value: str) -> bytes:
    """Return `raw` with one more header, in place of those of this name that are there."""
    first, *lines = head.raw.removesuffix(END).split(b"\r\n")
    kept = [line for line in lines if line.partition(b":")[0].lower() != name.encode()]
    return b"\r\n".join([first, f"{name}: {value}".encode("latin-1"), *kept]) + END


def plain_host(host: str) -> str:
    """Return a Host header's name: lower case, without port and trailing dot."""
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        host = name
    return host.lower().rstrip(".")
