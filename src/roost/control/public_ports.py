"""Ports of the cloud that are an app's own: who has which, and what the edge is told of them.

State: rows, one per port, written before a machine is that asks for it, so that of two apps the first has it. A port is
given back when the app is gone, and some time after the last machine that asked for it. What the edge serves is made
from rows and machines, at each change of a machine and whenever roostd starts: a kill between is put right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from roost.control.core import Core
from roost.edge.contract import Endpoint, PublicPort
from roost.host.port_probe import port_is_free
from roost.model.errors import Conflict
from roost.model.machine import Machine
from roost.model.machine_config import Service
from roost.model.public_ports import NAMED, POSTGRES, Key
from roost.plan.public_ports import check_ports, newest_asking, service_of, unused

KEPT = 30.0  # seconds that a claim holds without a machine: it is made before the machine


def claim_ports(core: Core, app: str, services: Sequence[Service]) -> None:
    """Give the app the ports that these services of its machines need.

    Raises BadInput for one that no app may have, Conflict that names who has it.
    """
    wanted = [_stored(app, key) for key in check_ports(services, core.port_rules)]
    if not wanted:
        return
    new = set(wanted) - set(core.store.public_ports.of_app(app))
    core.store.public_ports.claim(app, wanted, core.now())
    if problem := _shared_problem(core, app, new) or _taken_problem(core, app, new):
        core.store.public_ports.release(app, new, claimed_before=core.now() + 1)
        raise problem


def _shared_problem(core: Core, app: str, new: Iterable[Key]) -> Conflict | None:
    """Say why the port for Postgres can't be shared, or an app's own. Looked at after claiming: of two, none has it."""
    shared, keys = core.port_rules.postgres, set(new)
    others = {holder: held for holder, held in core.store.public_ports.all().items() if holder != app}
    alone = next((one for one, held in others.items() if ("tcp", shared) in held), "")
    by_name = next((one for one, held in others.items() if POSTGRES in map(key_of, held)), "")
    if alone and POSTGRES in map(key_of, keys):
        return Conflict(
            f"services: port {shared} (tcp) belongs to the app {alone!r} alone, so none can share it by pg_tls",
            hint=f"give {alone!r} another port, or the handler pg_tls too",
        )
    if by_name and ("tcp", shared) in keys:
        return Conflict(
            f"services: port {shared} (tcp) is shared by apps with the handler pg_tls, like {by_name!r}",
            hint="give it the handler pg_tls, or take another port",
        )
    return None


def _taken_problem(core: Core, app: str, new: Iterable[Key]) -> Conflict | None:
    """Say which port another program of the server has. The one for Postgres may be this app's own until now."""
    mine = core.store.public_ports.of_app(app)
    for protocol, port in sorted(new):
        asked = (protocol, port)
        if key_of(asked) == POSTGRES:
            asked = ("tcp", core.port_rules.postgres)
            if asked in mine or core.edge.status().detail.get("postgres"):
                continue
        if asked[0] in ("tcp", "udp") and not port_is_free(*asked):
            return Conflict(
                f"services: port {asked[1]} ({asked[0]}) is taken by another program of the server",
                hint="end that program, or take another port",
            )
    return None


def _stored(app: str, key: Key) -> Key:
    """Return how a row names a port: one by host name is each app's."""
    return (f"{key[0]}:{app}", key[1]) if key in NAMED else key


def key_of(stored: Key) -> Key:
    """Return the port that a row names."""
    return stored[0].partition(":")[0], stored[1]


def release_ports(core: Core) -> list[str]:
    """Take back the ports that apps don't ask for any more; returns these apps, whose ports the edge must be told."""
    changed = []
    for app, claims in core.store.public_ports.all().items():
        asked = unused(map(key_of, claims), core.store.machines.list(app))
        gone = [_stored(app, key) for key in asked]
        if gone and core.store.public_ports.release(app, gone, claimed_before=core.now() - KEPT):
            changed.append(app)
    return changed


def ports_of(
    app: str,
    org: str,
    region: str,
    hosts: tuple[str, ...],
    claims: Sequence[Key],
    machines: Sequence[Machine],
    awake: Mapping[str, Machine],
) -> tuple[PublicPort, ...]:
    """Return what the edge should serve for an app on ports of its own; `awake` are the machines that get requests.

    `hosts` are its names, for the one that goes by name.
    """
    found = []
    for key in sorted(map(key_of, claims)):
        asking = newest_asking(machines, key)
        if asking is None:
            continue
        service, port = asking
        endpoints = [
            Endpoint(machine.id, machine.private_ipv4, its.internal_port)
            for machine in awake.values()
            if (its := service_of(machine, key)) is not None
        ]
        found.append(
            PublicPort(
                app=app,
                port=port.port,
                protocol=key[0],
                hosts=hosts if key in NAMED else (),
                org=org,
                endpoints=tuple(endpoints),
                hard_limit=service.hard_limit,
                region=region,
                http=port.http,
                limits=service.rate_limits,
                handlers=port.handlers,
                tls=port.tls,
                proxy_version=port.proxy_version,
            )
        )
    return tuple(found)
