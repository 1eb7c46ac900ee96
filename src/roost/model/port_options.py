"""What a public port may be told besides its handlers: `tls_options`, `proxy_proto_options`, `http_options`. Pure.

What can't be had is refused by name. Options of the ports that all apps share hold for an app's host names, whichever
of the two ports has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from roost.model.config_reading import Reader
from roost.model.errors import BadInput

HANDLERS = ("http", "tls", "pg_tls", "proxy_proto")
VERSIONS = ("TLSv1.2", "TLSv1.3")
MAX_RANGE = 100  # ports
MAX_HEADERS = 30
MAX_IDLE = 86_400.0
MAX_HEADERS_TIMEOUT = 60.0
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]{1,128}")
_PROTOCOL = re.compile(r"[!-~]{1,64}")
_EDGES = ("fly-", "roost-", "x-envoy-", ":")
_FRAMING = frozenset(
    ["connection", "content-length", "transfer-encoding", "upgrade", "keep-alive", "te", "trailer", "server", "via"]
)
_USUAL: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"http"}),
    frozenset({"tls"}),
    frozenset({"tls", "http"}),
    frozenset({"proxy_proto"}),
    frozenset({"tls", "proxy_proto"}),
    frozenset({"pg_tls"}),
    frozenset({"pg_tls", "proxy_proto"}),
)


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How a port speaks TLS; empty: as the edge does by itself."""

    alpn: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How HTTP goes to and from an app."""

    compress: bool = False
    h2_backend: bool = False  # the app speaks HTTP/2 without TLS
    idle_timeout: float = 0.0  # seconds that an exchange may be silent; 0: no limit
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()  # of responses; without values: removed
    headers_timeout: float = 0.0  # seconds for a request's headers; 0: as usual. Of the port alone, as is the next
    pristine: bool = False  # answers without the edge's own headers


NO_TLS_OPTIONS, NO_HTTP_OPTIONS = TlsOptions(), HttpOptions()


def ports_in(port: int, first: int, last: int, where: str) -> range:
    """Return the ports that `port`, or `start_port` and `end_port`, name (0: not said); raises BadInput."""
    if port and not (first or last):
        return range(port, port + 1)
    if port:
        raise BadInput(f"{where} has port and start_port or end_port", hint="one port, or a range")
    if not (first and last):
        raise BadInput(f"{where}.port is missing", hint="a port, or start_port and end_port")
    if not first <= last < first + MAX_RANGE:
        raise BadInput(f"{where}.end_port must be from start_port to {MAX_RANGE - 1} above it")
    return range(first, last + 1)


def check_handlers(handlers: tuple[str, ...], where: str) -> None:
    """Raise BadInput for a handler that there isn't, and for some together that make no sense."""
    if unknown := [one for one in handlers if one not in HANDLERS]:
        raise BadInput(f"{where}: {unknown[0][:40]!r} is not supported", hint=f"there are {', '.join(HANDLERS)}")
    if frozenset(handlers) not in _USUAL or len(set(handlers)) < len(handlers):
        raise BadInput(f"{where}: {', '.join(handlers)} can't be had together", hint='for example ["tls", "http"]')


def read_tls_options(data: object, where: str) -> TlsOptions:
    """Read `tls_options`; raises BadInput that names the key."""
    if data is None:
        return NO_TLS_OPTIONS
    reader = Reader(data, where)
    found = TlsOptions(reader.words("alpn"), reader.words("versions"))
    if reader.flag("default_self_signed", False):
        raise BadInput(
            f"{where}.default_self_signed is not supported: every app has a certificate of the cloud's authority",
            hint="remove it; `roost certs add` for a host name of the app's own",
        )
    reader.done()
    if wrong := [one for one in found.alpn if not _PROTOCOL.fullmatch(one)]:
        raise BadInput(f"{where}.alpn: {wrong[0][:40]!r} is not the name of a protocol", hint='like "h2"')
    if len(found.alpn) > 10:
        raise BadInput(f"{where}.alpn has more than 10 protocols")
    if wrong := [one for one in found.versions if one not in VERSIONS]:
        raise BadInput(f"{where}.versions: {wrong[0][:40]!r} is not one of {', '.join(VERSIONS)}")
    return found


def read_proxy_version(data: object, where: str) -> str:
    """Read `proxy_proto_options`; returns "" where it isn't said, else "v1" or "v2". Raises BadInput."""
    if data is None:
        return ""
    reader = Reader(data, where)
    version = reader.text("version", "v1", among=("v1", "v2"))
    reader.done()
    return version


def check_port_options(handlers: tuple[str, ...], tls: TlsOptions, proxy: str, http: HttpOptions, where: str) -> None:
    """Raise BadInput for options without the handler that they are for."""
    check_handlers(handlers, f"{where}.handlers")
    if tls != NO_TLS_OPTIONS and not {"tls", "pg_tls"} & set(handlers):
        raise BadInput(f"{where}.tls_options needs the handler tls or pg_tls")
    if tls.alpn and "pg_tls" in handlers:
        raise BadInput(f"{where}.tls_options.alpn: with pg_tls it is always postgresql", hint="remove it")
    if proxy and "proxy_proto" not in handlers:
        raise BadInput(f"{where}.proxy_proto_options needs the handler proxy_proto")
    if http != NO_HTTP_OPTIONS and "http" not in handlers:
        raise BadInput(f"{where}.http_options needs the handler http")


def read_http_behaviour(reader: Reader, where: str) -> HttpOptions:
    """Read what `http_options` has besides `replay_cache`; raises BadInput that names the key."""
    compress, h2_backend = reader.flag("compress", False), reader.flag("h2_backend", False)
    idle = reader.duration("idle_timeout", 0.0)
    if not 0 <= idle <= MAX_IDLE:
        raise BadInput(f"{where}.idle_timeout must be from 0 (no limit) to {MAX_IDLE:.0f} seconds")
    patience = reader.duration("headers_read_timeout", 0.0)
    if patience and not 1 <= patience <= MAX_HEADERS_TIMEOUT:
        raise BadInput(f"{where}.headers_read_timeout must be from 1 to {MAX_HEADERS_TIMEOUT:.0f} seconds")
    headers, pristine = _read_response(reader.take("response"), f"{where}.response")
    return HttpOptions(compress, h2_backend, idle, headers, patience, pristine)


def _read_response(data: object, where: str) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], bool]:
    if data is None:
        return (), False
    reader = Reader(data, where)
    headers, pristine = reader.take("headers"), reader.flag("pristine", False)
    reader.done()
    if headers is None:
        return (), pristine
    if not isinstance(headers, Mapping) or len(headers) > MAX_HEADERS:
        raise BadInput(f"{where}.headers must be a table of at most {MAX_HEADERS} headers")
    found = sorted(_read_header(str(name), value, f"{where}.headers") for name, value in headers.items())
    return tuple(found), pristine


def _read_header(name: str, value: object, where: str) -> tuple[str, tuple[str, ...]]:
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise BadInput(f"{where}: {name[:40]!r} is not the name of a header")
    if lower in _FRAMING or lower.startswith(_EDGES):
        raise BadInput(f"{where}: {name[:40]} is the edge's own")
    if value is False:
        return lower, ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not values or len(values) > 10:
        raise BadInput(f"{where}.{name[:40]} must be a text, a list of texts, or false to remove it")
    for one in values:
        if not isinstance(one, str) or len(one) > 1024 or any(not (" " <= c <= "~") for c in one):
            raise BadInput(f"{where}.{name[:40]} must be printable ASCII of at most 1024 characters")
    return lower, tuple(values)


def merged(options: Iterable[HttpOptions]) -> HttpOptions:
    """Return the options of several ports as one: what any of them asks for."""
    found = list(options)
    headers = {name: values for one in found for name, values in one.headers}
    return HttpOptions(
        any(one.compress for one in found),
        any(one.h2_backend for one in found),
        max((one.idle_timeout for one in found), default=0.0),
        tuple(sorted(headers.items())),
    )


def http_behaviour_to_json(options: HttpOptions) -> dict[str, Any]:
    """Return the form that `read_http_behaviour` reads, without what is as usual."""
    out: dict[str, Any] = {name: True for name in ("compress", "h2_backend") if getattr(options, name)}
    for key, seconds in (("idle_timeout", options.idle_timeout), ("headers_read_timeout", options.headers_timeout)):
        if seconds:
            out[key] = int(seconds) if seconds.is_integer() else seconds
    if options.headers:
        shown = {
            name: False if not values else values[0] if len(values) == 1 else list(values)
            for name, values in options.headers
        }
        out["response"] = {"headers": shown}
    if options.pristine:
        out["response"] = {**out.get("response", {}), "pristine": True}
    return out


def other_options_to_json(tls: TlsOptions, proxy: str) -> dict[str, Any]:
    """Return the form of `tls_options` and `proxy_proto_options`, without what is as usual."""
    out: dict[str, Any] = {}
    if tls != NO_TLS_OPTIONS:
        out["tls_options"] = {key: list(value) for key in ("alpn", "versions") if (value := getattr(tls, key))}
    if proxy:
        out["proxy_proto_options"] = {"version": proxy}
    return out
