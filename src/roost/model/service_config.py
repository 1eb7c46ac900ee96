"""What a machine serves and how that is checked: `services` and `checks` of its configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from roost.model.config_reading import Reader, duration_text, read_headers
from roost.model.errors import BadInput
from roost.model.port_options import (
    NO_HTTP_OPTIONS,
    NO_TLS_OPTIONS,
    HttpOptions,
    TlsOptions,
    check_port_options,
    other_options_to_json,
    ports_in,
    read_proxy_version,
    read_tls_options,
)
from roost.model.rate_limit import NONE, RateLimits, rate_limits_to_json, read_rate_limits
from roost.model.session_rules import http_options_to_json, read_http_options
from roost.model.steering import SessionRule

AUTOSTOP = ("off", "stop", "suspend")
CHECK_KINDS = ("informational", "readiness")


@dataclass(frozen=True, slots=True)
class Check:
    """A health check of a port. `grace_period` counts from the start of the machine.

    `readiness` steers requests and deploys, `informational` is only shown. Without a kind, a service's check
    is readiness, and one of the machine decides deploys but not where requests go.
    """

    port: int
    type: str = "tcp"  # tcp | http
    interval: float = 10.0
    timeout: float = 2.0
    grace_period: float = 5.0
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = ""  # "" | informational | readiness
    protocol: str = "http"  # http | https
    tls_skip_verify: bool = False
    tls_server_name: str = ""
    http2: bool = False  # asked by HTTP/2 without TLS: the service's port speaks nothing else


@dataclass(frozen=True, slots=True)
class Port:
    """A public port of a service and how the edge handles it."""

    port: int
    handlers: tuple[str, ...] = ()
    force_https: bool = False
    sessions: tuple[SessionRule, ...] = ()  # http_options.replay_cache
    http: HttpOptions = NO_HTTP_OPTIONS
    tls: TlsOptions = NO_TLS_OPTIONS
    proxy_version: str = ""  # of the PROXY protocol: v1 or v2; "" with its handler: v1


@dataclass(frozen=True, slots=True)
class Service:
    """A port of the machine that the edge serves."""

    internal_port: int
    protocol: str = "tcp"
    ports: tuple[Port, ...] = ()
    autostop: str = "off"
    autostart: bool = True
    min_machines_running: int = 0
    idle_timeout: float = 300.0  # our addition: seconds without a request before autostop acts
    concurrency_type: str = "requests"
    soft_limit: int = 0  # 0: no limit
    hard_limit: int = 0
    checks: tuple[Check, ...] = ()
    rate_limits: RateLimits = NONE  # our addition: how many requests the edge lets through


def read_check(data: object, where: str, *, port: int = 0) -> Check:
    """Read a check, of `port` when it names none; raises BadInput that names the key."""
    reader = Reader(data, where)
    check = Check(
        port=reader.number("port", port, 0, 65535),
        type=reader.text("type", "tcp", among=("tcp", "http")),
        interval=min(max(reader.duration("interval", 10.0), 0.5), 60.0),
        timeout=min(max(reader.duration("timeout", 2.0), 0.1), 60.0),
        grace_period=reader.duration("grace_period", 5.0),
        method=(reader.text("method", "GET") or "GET").upper(),
        path=reader.text("path", "/") or "/",
        headers=read_headers(reader.take("headers"), f"{where}.headers"),
        kind=reader.text("kind", "", among=("", *CHECK_KINDS)),
        protocol=reader.text("protocol", "http", among=("http", "https")),
        tls_skip_verify=reader.flag("tls_skip_verify", False),
        tls_server_name=reader.text("tls_server_name"),
    )
    reader.done()
    if check.port == 0:
        raise BadInput(f"{where}.port is missing")
    if not check.path.startswith("/") or any(ord(c) <= 32 for c in check.path) or not check.method.isalpha():
        raise BadInput(f"{where}: path must begin with '/' and hold no blanks, method must be a word")
    check_tls(check, where)
    return check


def check_tls(check: Check, where: str) -> None:
    """Refuse TLS settings that could have no effect, and names that are none; raises BadInput."""
    for key in ("tls_skip_verify", "tls_server_name"):
        if getattr(check, key) and (check.type != "http" or check.protocol != "https"):
            raise BadInput(f"{where}.{key} needs type http and protocol https", hint="add them, or remove the key")
    if check.protocol == "https" and check.type != "http":
        raise BadInput(f"{where}.protocol needs type http", hint='set type to "http"')
    name = check.tls_server_name
    if len(name) > 253 or not name.isascii() or any(not (c.isalnum() or c in ".-") for c in name) or ".." in name:
        raise BadInput(f"{where}.tls_server_name is not a host name: {name[:40]!r}")
    if name and not all(0 < len(label) < 64 for label in name.removesuffix(".").split(".")):
        raise BadInput(f"{where}.tls_server_name is not a host name: {name[:40]!r}")


def _read_ports(data: object, where: str) -> tuple[Port, ...]:
    """Read one of `ports`, which may be a range of them."""
    reader = Reader(data, where)
    bounds = [reader.number(key, 0, 1, 65535) for key in ("port", "start_port", "end_port")]
    numbers = ports_in(bounds[0], bounds[1], bounds[2], where)
    sessions, http = read_http_options(reader.take("http_options"), reader.path("http_options"))
    port = Port(
        port=numbers[0],
        handlers=reader.words("handlers"),
        force_https=reader.flag("force_https", False),
        sessions=sessions,
        http=http,
        tls=read_tls_options(reader.take("tls_options"), reader.path("tls_options")),
        proxy_version=read_proxy_version(reader.take("proxy_proto_options"), reader.path("proxy_proto_options")),
    )
    reader.done()
    check_port_options(port.handlers, port.tls, port.proxy_version, port.http, where)
    return tuple(replace(port, port=number) for number in numbers)


def port_to_json(port: Port) -> dict[str, Any]:
    """Return the API's form of a port, which is the form of `roost.toml` too."""
    out: dict[str, Any] = {"port": port.port, "handlers": list(port.handlers)}
    if port.force_https:
        out["force_https"] = True
    out |= http_options_to_json(port.sessions, port.http)
    return out | other_options_to_json(port.tls, port.proxy_version)


def read_autostop(value: object, where: str) -> str:
    """Return off, stop or suspend; clients also send false (off) and true (stop) (reference, section 1.7)."""
    if value is None or value is False:
        return "off"
    if value is True:
        return "stop"
    if value in AUTOSTOP:
        return str(value)
    raise BadInput(f"{where} must be one of {', '.join(AUTOSTOP)}")


def read_service(data: object, where: str) -> Service:
    """Read one of `services`; raises BadInput that names the key."""
    reader = Reader(data, where)
    internal_port = reader.number("internal_port", 0, 1, 65535)
    if internal_port == 0:
        raise BadInput(f"{where}.internal_port is missing")
    concurrency = Reader(reader.take("concurrency") or {}, f"{where}.concurrency")
    rates = Reader(reader.take("rate_limit") or {}, f"{where}.rate_limit")
    service = Service(
        internal_port=internal_port,
        protocol=reader.text("protocol", "tcp", among=("tcp", "udp")),
        ports=tuple(port for some in reader.items("ports", _read_ports) for port in some),
        autostop=read_autostop(reader.take("autostop"), f"{where}.autostop"),
        autostart=reader.flag("autostart", True),
        min_machines_running=reader.number("min_machines_running", 0, 0, 1000),
        idle_timeout=reader.duration("idle_timeout", 300.0),
        concurrency_type=concurrency.text("type", "requests", among=("requests", "connections")),
        soft_limit=concurrency.number("soft_limit", 0, 0, 1_000_000),
        hard_limit=concurrency.number("hard_limit", 0, 0, 1_000_000),
        checks=reader.items("checks", lambda item, at: read_check(item, at, port=internal_port)),
        rate_limits=read_rate_limits(rates.take, f"{where}.rate_limit"),
    )
    concurrency.done()
    rates.done()
    reader.done()
    check_protocol(service, where)
    return service


def check_protocol(service: Service, where: str) -> None:
    """Refuse handlers of UDP, which has none; raises BadInput."""
    if service.protocol == "udp" and any(port.handlers for port in service.ports):
        raise BadInput(f"{where}.ports: handlers are for tcp", hint="remove them: udp is passed on as it is")


def check_to_json(check: Check) -> dict[str, Any]:
    """Return the API's form of a check."""
    out: dict[str, Any] = {
        "port": check.port,
        "type": check.type,
        "interval": duration_text(check.interval),
        "timeout": duration_text(check.timeout),
        "grace_period": duration_text(check.grace_period),
    }
    if check.kind:
        out["kind"] = check.kind
    if check.type == "http":
        out |= {"method": check.method, "path": check.path}
        out["headers"] = [{"name": n, "values": [v]} for n, v in check.headers]
    if check.protocol == "https":
        out["protocol"] = check.protocol
        out |= {"tls_skip_verify": True} if check.tls_skip_verify else {}
        out |= {"tls_server_name": check.tls_server_name} if check.tls_server_name else {}
    return out


def service_to_json(service: Service) -> dict[str, Any]:
    """Return the API's form of a service."""
    out: dict[str, Any] = {
        "protocol": service.protocol,
        "internal_port": service.internal_port,
        "autostop": service.autostop,
        "autostart": service.autostart,
        "min_machines_running": service.min_machines_running,
        "idle_timeout": duration_text(service.idle_timeout),
        "ports": [port_to_json(port) for port in service.ports],
        "checks": [check_to_json(c) for c in service.checks],
    }
    if service.soft_limit or service.hard_limit:
        out["concurrency"] = {
            "type": service.concurrency_type,
            "soft_limit": service.soft_limit,
            "hard_limit": service.hard_limit,
        }
    return out | rate_limits_to_json(service.rate_limits)
