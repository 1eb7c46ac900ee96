"""Which ports of the cloud an app asks for, whether it may have them, and where they lead. Pure.

Ports 80 and 443 with the handlers of HTTP are everybody's: there a request's host decides. Every other port is one
app's alone, for a cloud has one address. It has it as long as one of its machines asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from roost.model.errors import BadInput
from roost.model.machine import Machine
from roost.model.machine_config import Port, Service
from roost.model.public_ports import BY_NAME, HTTPS, NAMED, POSTGRES, Key, check_services, is_shared, own_ports

DEFAULT_RANGES = ((1024, 32767),)  # above: where the kernel takes ports for outgoing connections
MOST_RANGES = 32


@dataclass(frozen=True, slots=True)
class PortRules:
    """What a cloud lets apps have: `ranges` of ports (first, last), but none of `reserved`; the edge's own two."""

    http: int
    https: int
    ranges: tuple[tuple[int, int], ...] = DEFAULT_RANGES
    reserved: tuple[int, ...] = ()
    postgres: int = 0  # the port that apps with pg_tls share; 0: there is none


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


def check_ports(services: Iterable[Service], rules: PortRules) -> tuple[Key, ...]:
    """Return the ports that the machine's app needs for itself; raises BadInput for one that it can't have here."""
    found = check_services(services)
    for key, port in found.items():
        _check_allowed(key, port, rules)
    return tuple(found)


def _check_allowed(key: Key, port: Port, rules: PortRules) -> None:
    """Raise BadInput for a port that this cloud does not give."""
    where = f"port {port.port} ({'tcp' if key in NAMED else key[0]})"
    if key == POSTGRES and not rules.postgres:
        raise BadInput(
            f"services: {where}: the handler pg_tls needs a cloud with ports for https and for Postgres",
            hint="ask the operator: `[edge] postgres_port` in config.toml",
        )
    if key == HTTPS and not rules.https:
        raise BadInput(f"services: {where}: tls_options need a cloud with a port for https", hint="remove them")
    if key == BY_NAME and not rules.https:
        raise BadInput(
            f"services: {where} without the handler tls needs a cloud with a port for https", hint="take another port"
        )
    if key in NAMED:
        return
    if port.port in (rules.http, rules.https, *rules.reserved):
        raise BadInput(f"services: {where} is used by Roost itself", hint="take another port")
    if not any(low <= port.port <= high for low, high in rules.ranges):
        allowed = ", ".join(f"{low}-{high}" if low < high else str(low) for low, high in rules.ranges)
        raise BadInput(
            f"services: {where} is not one that apps of this cloud may have ({allowed or 'none'})",
            hint="take another, or ask the operator: `[edge] service_ports` in config.toml",
        )


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
