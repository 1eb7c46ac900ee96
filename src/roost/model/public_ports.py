"""Which ports of the cloud an app's services ask for, and what no cloud gives. Pure.

Ports 80 and 443 with the handlers of HTTP are everybody's: there a request's host decides. Every other port is one
app's alone. What a cloud gives besides is its own matter: `plan.public_ports`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from roost.model.errors import BadInput
from roost.model.machine_config import Port, Service
from roost.model.port_options import NO_TLS_OPTIONS
from roost.model.rate_limit import NONE

Key = tuple[str, int]  # protocol and port
POSTGRES: Key = ("pg", 5432)  # the port for apps with pg_tls: everybody's, by host name, wherever the cloud has it
HTTPS: Key = ("https", 443)  # the https port for an app's names that it shall serve in a way of their own
BY_NAME: Key = ("sni", 443)  # the https port for an app that speaks TLS itself: it is everybody's, by host name
HTTP_PROTOCOLS = ("h2", "http/1.1")
NAMED = (BY_NAME, HTTPS, POSTGRES)  # that many apps have, each for its names
MOST = 100  # ports of one app


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


def check_services(services: Iterable[Service]) -> dict[Key, Port]:
    """Return the ports that all services of an app want for it alone; raises BadInput for what no cloud can give."""
    services = tuple(services)
    _check_shared(services)
    found: dict[Key, Port] = {}
    for key, service, port in own_ports(services):
        where = f"port {port.port} ({service.protocol})"
        if key in found:
            raise BadInput(f"services: {where} is there twice", hint="one port leads to one service")
        if key == POSTGRES and port.port != POSTGRES[1]:
            raise BadInput(
                f"services: {where}: apps with the handler pg_tls share port {POSTGRES[1]}, by host name",
                hint=f"take {POSTGRES[1]}; or an own port with the handler tls or none",
            )
        if key not in NAMED and port.port in (80, 443):
            raise BadInput(
                f"services: {where} is shared by all apps by host name",
                hint='give 80 the handlers ["http"] and 443 ["tls", "http"], or take another port',
            )
        found[key] = port
    if len(found) > MOST:
        raise BadInput(f"services: an app can have {MOST} ports of its own, not {len(found)}")
    return found


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
