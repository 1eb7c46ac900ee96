"""The head of an HTTP/1.1 request, as far as the activator needs it. Pure.

Envoy is the only client and has already normalised the request; still nothing here trusts it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from roost.edge.http_head import END, BadMessage, parse_request, request_line

MAX_HEAD = 128 * 1024  # Envoy lets 64 KiB in and adds a few headers
# What only the edge's listener for private networks sets (flycast.py), and no app sees:
PRIVATE = "roost-flycast-address"  # the address that was called
PRIVATE_HOST = "roost-flycast-host"  # the Host that the client sent


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


def parse_head(data: bytes, *, drop: Collection[str]) -> Head:
    """Parse a head that ends with an empty line; raises BadHead. The headers `drop` are left out of `raw`."""
    try:
        request = parse_request(data)
    except BadMessage as error:
        raise BadHead(str(error)) from None
    hosts = [value for name, value in request.lines if name == "host"]
    if len(hosts) != 1:
        raise BadHead("a request names one host")
    gone = frozenset(name.encode() for name in drop)
    lines = data.removesuffix(END).split(b"\r\n")
    method, target = request_line(request)
    return Head(
        method=method,
        target=target,
        host=plain_host(hosts[0].decode("latin-1")),
        accept=request.get("accept"),
        raw=b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in gone) + END,
        secure=request.get("x-forwarded-proto") == "https",  # set by Envoy, whatever the client sent
        private=request.get(PRIVATE).strip("[]"),
        request_id=request.get("x-request-id"),
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
