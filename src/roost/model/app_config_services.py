"""`[http_service]`, `[[services]]` and `[checks.NAME]` of `roost.toml`: read, and written again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from roost.model.app_config_deploy import GroupedCheck, read_machine_checks
from roost.model.app_config_table import Table, spell_seconds
from roost.model.config_reading import Reader, read_headers
from roost.model.machine_config import Check, Port, Service, read_autostop
from roost.model.port_options import (
    HttpOptions,
    check_port_options,
    other_options_to_json,
    ports_in,
    read_http_behaviour,
    read_proxy_version,
    read_tls_options,
)
from roost.model.rate_limit import rate_limits_to_json, read_rate_limits
from roost.model.replay_order import MAX_CACHE_TTL, MIN_CACHE_TTL
from roost.model.service_config import CHECK_KINDS, check_protocol, check_tls, port_to_json
from roost.model.session_rules import check_session_rule, http_options_to_json
from roost.model.steering import SessionRule

Grouped = tuple[tuple[str, ...], Service]  # process groups, and what serves them


def read_services(top: Table, autostop: str) -> tuple[tuple[Grouped, ...], tuple[GroupedCheck, ...]]:
    """Read both kinds of tables, http_service first, and the machine checks in them; raises BadInput."""
    checks: list[GroupedCheck] = []
    services = [_read_http_service(table, autostop, checks) for table in top.tables("http_service", "http_service")]
    services += [_read_service(table, checks) for table in top.tables("services", "services")]
    return tuple(services), tuple(checks)


def _read_http_service(table: Table, autostop: str, machine_checks: list[GroupedCheck]) -> Grouped:
    port = table.number("internal_port", 8080, 1, 65535)
    https = table.flag("force_https", False)
    sessions, http = _read_http_options(table)
    tls = read_tls_options(table.take("tls_options"), table.origin.at(table.path("tls_options")))
    ports = (Port(80, ("http",), https, sessions, http), Port(443, ("tls", "http"), False, sessions, http, tls))
    checks = tuple(_read_check(check, port, "http") for check in table.tables("checks", "check"))
    return _finish_service(table, port, ports, checks, autostop, machine_checks)


def _read_service(table: Table, machine_checks: list[GroupedCheck]) -> Grouped:
    protocol = table.text("protocol", "tcp", among=("tcp", "udp"))
    port = table.number("internal_port", 8080, 1, 65535)
    https = table.flag("force_https", False)
    ports = []
    for item in table.tables("ports", "services.ports"):
        handlers = item.words("handlers")
        sessions, http = _read_http_options(item)
        tls = read_tls_options(item.take("tls_options"), item.origin.at(item.path("tls_options")))
        proxy = read_proxy_version(item.take("proxy_proto_options"), item.origin.at(item.path("proxy_proto_options")))
        check_port_options(handlers, tls, proxy, http, item.origin.at(item.path("").removesuffix(".")))
        place = item.origin.at(item.path("").removesuffix("."))
        first, last = (item.number(key, 0, 1, 65535) for key in ("start_port", "end_port"))
        numbers = ports_in(item.number("port", 0 if first or last else 80, 1, 65535), first, last, place)
        forced = item.flag("force_https", https)
        ports += [Port(number, handlers, forced, sessions, http, tls, proxy) for number in numbers]
        item.done()
    checks = tuple(
        _read_check(check, port, kind) for kind in ("tcp", "http") for check in table.tables(f"{kind}_checks", "check")
    )
    where = table.origin.at(table.path("").removesuffix("."))
    groups, service = _finish_service(table, port, tuple(ports), checks, "off", machine_checks)
    service = replace(service, protocol=protocol)
    check_protocol(service, where)
    return groups, service


def _read_http_options(table: Table) -> tuple[tuple[SessionRule, ...], HttpOptions]:
    options = table.table("http_options", "http_options")
    rules = []
    for item in options.tables("replay_cache", "replay_cache"):
        rule = SessionRule(
            item.text("type", "cookie", among=("cookie", "header")),
            item.text("name"),
            item.number("ttl_seconds", 0, MIN_CACHE_TTL, MAX_CACHE_TTL),
            item.text("path_prefix", "/") or "/",
            allow_bypass=item.flag("allow_bypass", False),
        )
        item.done()
        rules.append(check_session_rule(rule, item.origin.at(item.path("").removesuffix("."))))
    where = options.origin.at(options.path("").removesuffix("."))
    keys = ("compress", "h2_backend", "idle_timeout", "headers_read_timeout", "response")
    http = read_http_behaviour(Reader({key: options.take(key) for key in keys if options.holds(key)}, where), where)
    options.done()
    return tuple(rules), http


def _finish_service(
    table: Table,
    port: int,
    ports: tuple[Port, ...],
    checks: tuple[Check, ...],
    autostop: str,
    machine_checks: list[GroupedCheck],
) -> Grouped:
    """Read the keys that `[http_service]` and `[[services]]` share."""
    concurrency = table.table("concurrency", "concurrency")
    rates = table.table("rate_limit", "rate_limit")
    asked = table.take("auto_stop_machines")
    service = Service(
        internal_port=port,
        ports=ports,
        autostop=autostop if asked is None else read_autostop(asked, table.origin.at(table.path("auto_stop_machines"))),
        autostart=table.flag("auto_start_machines", True),
        min_machines_running=table.number("min_machines_running", 0, 0, 1000),
        idle_timeout=table.duration("auto_stop_after", 300.0),
        concurrency_type=concurrency.text("type", "requests", among=("requests", "connections")),
        soft_limit=concurrency.number("soft_limit", 0, 0, 1_000_000),
        hard_limit=concurrency.number("hard_limit", 0, 0, 1_000_000),
        checks=checks,
        rate_limits=read_rate_limits(rates.take, rates.origin.at(rates.path("").removesuffix("."))),
    )
    if 0 < service.hard_limit < service.soft_limit:
        why = f"is {service.soft_limit}, above hard_limit, {service.hard_limit}: no machine ever has so many"
        table.origin.warn(concurrency.path("soft_limit"), why)
    groups = table.words("processes")
    machine_checks.extend((groups, check) for _, check in read_machine_checks(table))
    concurrency.done()
    rates.done()
    table.done()
    return groups, service


def _within(table: Table, key: str, default: float, low: float, high: float) -> float:
    """Return seconds within the bounds, as Fly's platform has them: what is beyond is the nearest, with a warning."""
    given = table.duration(key, default)
    taken = min(max(given, low), high)
    if taken != given:
        table.origin.warn(table.path(key), f"is {given:g} s, which is taken as {taken:g} s: {low:g} to {high:g} s")
    return taken


def _read_check(table: Table, port: int, kind: str) -> Check:
    protocol = table.text("protocol", "http", among=("http", "https"))
    check = Check(
        port=table.number("port", port, 1, 65535),
        type=table.text("type", kind, among=("tcp", "http")),
        interval=_within(table, "interval", 10.0, 0.5, 60.0),
        timeout=_within(table, "timeout", 2.0, 0.1, 60.0),
        grace_period=table.duration("grace_period", 5.0),
        method=table.text("method", "GET").upper() or "GET",
        path=table.text("path", "/") or "/",
        headers=_read_headers(table),
        kind=table.text("kind", "", among=("", *CHECK_KINDS)),
        protocol=protocol,
        tls_skip_verify=table.flag("tls_skip_verify", False),
        tls_server_name=table.text("tls_server_name"),
    )
    if not check.path.startswith("/") or any(ord(char) <= 32 for char in check.path):
        raise table.refuse("path", "must begin with '/' and hold no blanks")
    if not check.method.isalpha():
        raise table.refuse("method", "must be an HTTP method like GET")
    check_tls(check, table.origin.at(table.path("").removesuffix(".")))
    table.done()
    return check


def _read_headers(table: Table) -> tuple[tuple[str, str], ...]:
    """Values are words, numbers or lists of words, as one writes them in TOML."""
    given = table.take("headers")
    if isinstance(given, Mapping):
        given = {
            name: [str(value).lower() if isinstance(value, bool) else str(value)]
            if isinstance(value, bool | int | float | str)
            else value
            for name, value in given.items()
        }
    return read_headers(given, table.origin.at(table.path("headers")))


def read_checks(top: Table) -> tuple[dict[str, Check], dict[str, tuple[str, ...]]]:
    """Read `[checks.NAME]`, and the process groups of those that name some; raises BadInput."""
    data = top.take("checks")
    if data is None:
        return {}, {}
    if not isinstance(data, Mapping):
        raise top.refuse("checks", "must be a table of checks, each with a name: [checks.NAME]")
    checks, named = {}, {}
    for name, item in data.items():
        table = Table(item, f"checks.{name}", "checks", top.origin)
        if groups := table.words("processes"):
            named[str(name)] = groups
        checks[str(name)] = _read_check(table, 8080, "tcp")
    return checks, named


def checks_to_json(checks: Mapping[str, Check], groups: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return what `read_checks` reads."""
    return {
        name: _check_to_json(check) | ({"processes": list(groups[name])} if name in groups else {})
        for name, check in checks.items()
    }


def is_http_service(service: Service) -> bool:
    """Say whether `[http_service]` can spell it."""
    ports = service.ports
    return (
        len(ports) == 2
        and (ports[0].port, ports[0].handlers) == (80, ("http",))
        and ports[1] == Port(443, ("tls", "http"), False, ports[0].sessions, ports[0].http, ports[1].tls)
    )


def service_to_json(groups: tuple[str, ...], service: Service, *, http: bool) -> dict[str, Any]:
    """Return what `read_services` reads: of `[http_service]` or one of `[[services]]`."""
    out: dict[str, Any] = {
        "internal_port": service.internal_port,
        "auto_stop_machines": service.autostop,
        "auto_start_machines": service.autostart,
        "auto_stop_after": spell_seconds(service.idle_timeout),
        "min_machines_running": service.min_machines_running,
    }
    if service.soft_limit or service.hard_limit or service.concurrency_type != "requests":
        out["concurrency"] = {
            "type": service.concurrency_type,
            "soft_limit": service.soft_limit,
            "hard_limit": service.hard_limit,
        }
    out |= rate_limits_to_json(service.rate_limits)
    if groups:
        out["processes"] = list(groups)
    if http:
        if service.ports[0].force_https:
            out["force_https"] = True
        out |= http_options_to_json(service.ports[0].sessions, service.ports[0].http)
        out |= other_options_to_json(service.ports[1].tls, "")
        if service.checks:
            out["checks"] = [_check_to_json(check) for check in service.checks]
        return out
    if service.protocol != "tcp":
        out["protocol"] = service.protocol
    out["ports"] = [port_to_json(port) for port in service.ports]
    for kind in ("tcp", "http"):
        if checks := [_check_to_json(check) for check in service.checks if check.type == kind]:
            out[f"{kind}_checks"] = checks
    return out


def _check_to_json(check: Check) -> dict[str, Any]:
    out: dict[str, Any] = {
        "type": check.type,
        "port": check.port,
        "interval": spell_seconds(check.interval),
        "timeout": spell_seconds(check.timeout),
        "grace_period": spell_seconds(check.grace_period),
    }
    if check.kind:
        out["kind"] = check.kind
    if check.type == "http":
        out |= {"method": check.method, "path": check.path}
        if check.headers:
            headers: dict[str, list[str]] = {}
            for name, value in check.headers:
                headers.setdefault(name, []).append(value)
            out["headers"] = headers
    if check.protocol == "https":
        out["protocol"] = "https"
        out |= {"tls_skip_verify": True} if check.tls_skip_verify else {}
        out |= {"tls_server_name": check.tls_server_name} if check.tls_server_name else {}
    return out
