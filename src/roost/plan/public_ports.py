"""Which ports of the cloud an app asks for, whether it may have them, and where they lead. Pure.

Ports 80 and 443 with the handlers of HTTP are everybody's: there a request's host decides. Every other port is one
app's alone, for a cloud has one address. It has it as long as one of its machines asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from roost.model.errors import BadInput
from roost.model.machine import Machine
from roost.model.machine_config import Port, Service
from roost.model.port_options import NO_TLS_OPTIONS
from roost.model.rate_limit import NONE

Key = tuple[str, int]  # protocol and port
POSTGRES: Key = ("pg", 5432)  # the port for apps with pg_tls: everybody's, by host name, wherever the cloud has it
HTTPS: Key = ("https", 443)  # the https port for an app's names that it shall serve in a way of their own
BY_NAME: Key = ("sni", 443)  # the https port for an app that speaks TLS itself: it is everybody's, by host name
HTTP_PROTOCOLS = ("h2", "http/1.1")
NAMED = (BY_NAME, HTTPS, POSTGRES)  # that many apps have, each for its names
DEFAULT_RANGES = ((1024, 32767),)  # above: where the kernel takes ports for outgoing connections
MOST_RANGES = 32
MOST = 100  # ports of one app


@dataclass(frozen=True, slots=True)
class PortRules:
    """What a cloud lets apps have: `ranges` of ports (first, last), but none of `reserved`; the edge's own two."""

    http: int
    https: int
    ranges: tuple[tuple[int, int], ...] = DEFAULT_RANGES
    reserved: tuple[int, ...] = ()
    postgres: int = 0  # the port that apps with pg_tls share; 0: there is none
    by_name: bool = False  # whether apps may speak TLS themselves on the https port


def read_ranges(value: object, where: str) -> tuple[tuple[int, int], ...]:
    """Read ranges like `"5432, 8000-8999"`, "" for none; raises BadInput."""
    problem = BadInput(
        f"{where} must be ports and ranges of ports, not {str(value)[:40]!r}", hint='like "25, 1024-32767"'
    )
    if not isinstance(value, str):
        raise problem
    found = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        first, _, last = (text.strip() for text in part.partition("-"))
        if not (first.isascii() and first.isdigit() and (last or first).isascii() and (last or first).isdigit()):
            raise problem
        low, high = int(first[:6]), int((last or first)[:6])
        if not 0 < low <= high < 65536:
            raise problem
        found.append((low, high))
    if len(found) > MOST_RANGES:
        raise problem
    return tuple(found)


def is_shared(service: Service, port: Port) -> bool:
    """Say whether it is one of the two ports that all apps share, by host name."""
    if service.protocol != "tcp" or "http" not in port.handlers:
        return False
    return port.port == (443 if "tls" in port.handlers else 80)


def is_by_name(service: Service, port: Port) -> bool:
    """Say whether it is the https port, on which the app speaks TLS itself."""
    return service.protocol == "tcp" and port.port == BY_NAME[1] and set(port.handlers) <= {"proxy_proto"}


def own_ports(services: Iterable[Service]) -> Iterator[tuple[Key, Service, Port]]:
    """Yield the ports that services want for their app alone."""
    for service in services:
        for port in service.ports:
            if not is_shared(service, port):
                yield _key(service, port), service, port
            elif has_own_way(port):
                yield HTTPS, service, port


def has_own_way(port: Port) -> bool:
    """Say whether the https port is to serve the app's names in another way than others'."""
    return "tls" in port.handlers and (port.tls != NO_TLS_OPTIONS or _of_one_port(port) != "")


def _of_one_port(port: Port) -> str:
    """Return an option of HTTP that whole connections have, "" if the port has none."""
    return "headers_read_timeout" if port.http.headers_timeout else "response.pristine" if port.http.pristine else ""


def _key(service: Service, port: Port) -> Key:
    if "pg_tls" in port.handlers:
        return POSTGRES
    return BY_NAME if is_by_name(service, port) else (service.protocol, port.port)


def check_ports(services: Iterable[Service], rules: PortRules) -> tuple[Key, ...]:
    """Return the ports that the machine's app needs for itself; raises BadInput for one that it can't have."""
    services = tuple(services)
    _check_shared(services)
    found: dict[Key, Service] = {}
    for key, service, port in own_ports(services):
        where = f"port {port.port} ({service.protocol})"
        if key in found:
            raise BadInput(f"services: {where} is there twice", hint="one port leads to one service")
        if key == POSTGRES:
            _check_postgres(port, rules, where)
            found[key] = service
            continue
        if key == HTTPS:
            if not rules.https:
                raise BadInput(f"services: {where}: tls_options need a cloud with a port for https", hint="remove them")
            found[key] = service
            continue
        if key == BY_NAME and rules.by_name:
            found[key] = service
            continue
        if key == BY_NAME:
            raise BadInput(
                f"services: {where} without the handler tls needs an edge with a port for https, and one cell",
                hint="take another port",
            )
        if port.port in (80, 443):
            raise BadInput(
                f"services: {where} is shared by all apps by host name",
                hint='give 80 the handlers ["http"] and 443 ["tls", "http"], or take another port',
            )
        if port.port in (rules.http, rules.https, *rules.reserved):
            raise BadInput(f"services: {where} is used by Roost itself", hint="take another port")
        if not any(low <= port.port <= high for low, high in rules.ranges):
            allowed = ", ".join(f"{low}-{high}" if low < high else str(low) for low, high in rules.ranges)
            raise BadInput(
                f"services: {where} is not one that apps of this cloud may have ({allowed or 'none'})",
                hint="take another, or ask the operator: `[edge] service_ports` in config.toml",
            )
        found[key] = service
    if len(found) > MOST:
        raise BadInput(f"services: an app can have {MOST} ports of its own, not {len(found)}")
    return tuple(found)


def _check_postgres(port: Port, rules: PortRules, where: str) -> None:
    if port.port != POSTGRES[1]:
        raise BadInput(
            f"services: {where}: apps with the handler pg_tls share port {POSTGRES[1]}, by host name",
            hint=f"take {POSTGRES[1]}; or an own port with the handler tls or none",
        )
    if not rules.postgres:
        raise BadInput(
            f"services: {where}: the handler pg_tls needs a cloud with ports for https and for Postgres",
            hint="ask the operator: `[edge] postgres_port` in config.toml",
        )


def _check_shared(services: Sequence[Service]) -> None:
    for service in services:
        for port in service.ports:
            where = f"services: port {port.port} ({service.protocol})"
            shared = is_shared(service, port)
            if shared and (wrong := set(port.tls.alpn) - set(HTTP_PROTOCOLS)):
                raise BadInput(
                    f"{where}: tls_options.alpn: {min(wrong)!r} is no protocol of HTTP",
                    hint=f"there are {', '.join(HTTP_PROTOCOLS)}",
                )
            if shared and "tls" not in port.handlers and not port.force_https and (key := _of_one_port(port)):
                raise BadInput(
                    f"{where}: http_options.{key} can't be had: a connection there is not one app's",
                    hint="add force_https; or set it in [[services.ports]], for 443 alone or for an own port",
                )
            if "http" not in port.handlers and service.rate_limits != NONE:
                raise BadInput(f"{where}: rate_limit counts requests of HTTP only", hint="remove it")
            if (port.force_https or port.sessions) and not shared:
                key = "force_https" if port.force_https else "replay_cache"
                raise BadInput(f"{where}: {key} works on the ports that all apps share", hint="remove it")


def http_service(machine: Machine) -> Service | None:
    """Return the service to which requests for the app's host names go: the first with a port that all apps share.

    One without ports counts, since it says nothing else.
    """
    return next(filter(serves_http, machine.config.services), None)


def serves_http(service: Service) -> bool:
    """Say whether requests for the app's host names may go to it."""
    if service.protocol != "tcp":
        return False
    return not service.ports or any(is_shared(service, port) for port in service.ports)


def places_of(services: Sequence[Service], *, url: str, host: str, rules: PortRules) -> list[str]:
    """Name the places where an app with these services answers: `url` where it serves HTTP, and ports of its own."""
    own = {key for key, _, _ in own_ports(services)} - {HTTPS}
    found = [url] if any(map(serves_http, services)) else []
    found += [f"{host}:{port}/{protocol}" for protocol, port in sorted(own - {POSTGRES, BY_NAME})]
    if BY_NAME in own:
        found.append(f"{host}:{rules.https}/tls")
    if POSTGRES in own:
        found.append(f"{host}:{rules.postgres}/postgres")
    return found


def newest_asking(machines: Iterable[Machine], key: Key) -> tuple[Service, Port] | None:
    """Return how a port is to be served: as the newest machine says that gets requests, else the newest of all."""
    asking = [
        (not machine.cordoned, machine.created_at, machine.id, service, port)
        for machine in machines
        for found, service, port in own_ports(machine.config.services)
        if found == key
    ]
    if not asking:
        return None
    *_, service, port = max(asking, key=lambda one: one[:3])
    return service, port


def service_of(machine: Machine, key: Key) -> Service | None:
    """Return the machine's service behind a port, None if it has none."""
    return next((service for found, service, _ in own_ports(machine.config.services) if found == key), None)


def unused(claims: Iterable[Key], machines: Sequence[Machine]) -> list[Key]:
    """Return the claims of an app that none of its machines asks for any more."""
    asked = {key for machine in machines for key, _, _ in own_ports(machine.config.services)}
    return [key for key in claims if key not in asked]
