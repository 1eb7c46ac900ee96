"""Rows of machines and their events."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, String, Text, cast, delete, func, insert, select, type_coerce, union, update
from sqlalchemy.exc import IntegrityError

from roost.model.app import Event
from roost.model.errors import InsufficientCapacity, NameTaken, NotFound
from roost.model.listing import OrgListing
from roost.model.machine import ExitInfo, Machine, MachineState
from roost.model.machine_config import MachineConfig, machine_config_to_json, read_machine_config
from roost.model.run import Run
from roost.store.database import Database
from roost.store.destroyed import remember
from roost.store.org_pages import page_by_state
from roost.store.runs import put_run
from roost.store.schema import events, leases, machines, runs, updates, versions
from roost.store.volumes import let_go, take

CONFIGS_REMEMBERED = 8192
_AT_ONCE = 500  # machines asked for in one query
EVENTS_KEPT = 50  # per machine: the API shows at most 50 (reference, section 1.3)


_STATES = {state.value: state for state in MachineState}
_ROW = [  # in the order of Machine's fields; structured ones as text: `_machine` reads the few that differ
    type_coerce(machines.c[name], Text).label(name) if name in ("config", "last_exit") else machines.c[name]
    for name in Machine.__slots__
]
_AT_STATE, _AT_DESIRED, _AT_CONFIG, _AT_CORDONED, _AT_EXIT = (
    Machine.__slots__.index(name) for name in ("state", "desired", "config", "cordoned", "last_exit")
)
_EVENT = [  # in the order of Event's fields; the detail as text, which `_event` reads
    type_coerce(events.c[name], Text).label(name) if name == "detail" else events.c[name] for name in Event.__slots__
]
_AT_DETAIL = Event.__slots__.index("detail")


@lru_cache(maxsize=CONFIGS_REMEMBERED)
def _config(text: str) -> MachineConfig:
    """Read a stored configuration. Most are read again and again, and reading one takes longer than its row."""
    return read_machine_config(json.loads(text))


def _machine(row: Row[tuple[object, ...]]) -> Machine:
    values: list[Any] = list(row)
    values[_AT_STATE] = _STATES[values[_AT_STATE]]
    values[_AT_DESIRED] = _STATES[values[_AT_DESIRED]]
    values[_AT_CONFIG] = _config(values[_AT_CONFIG])
    values[_AT_CORDONED] = bool(values[_AT_CORDONED])
    ended = values[_AT_EXIT]
    values[_AT_EXIT] = ExitInfo(**json.loads(ended)) if ended and ended != "null" else None
    return Machine(*values)


def machine_of(values: Mapping[str, Any]) -> Machine:
    """Return the machine of a row's values as `machine_values` gives them."""
    fields = {name: value for name, value in values.items() if name in Machine.__slots__}
    fields["state"] = MachineState(values["state"])
    fields["desired"] = MachineState(values["desired"])
    fields["config"] = read_machine_config(values["config"])
    fields["cordoned"] = bool(values["cordoned"])
    fields["last_exit"] = ExitInfo(**values["last_exit"]) if values["last_exit"] else None
    return Machine(**fields)


def machine_values(machine: Machine) -> dict[str, Any]:
    """Return a machine's row."""
    values: dict[str, Any] = {name: getattr(machine, name) for name in Machine.__slots__}
    values["state"] = machine.state.value
    values["desired"] = machine.desired.value
    values["config"] = machine_config_to_json(machine.config)
    values["cordoned"] = int(machine.cordoned)
    values["standby"] = int(bool(machine.config.standbys))
    values["last_exit"] = asdict(machine.last_exit) if machine.last_exit else None
    return values


class Machines:
    """Machines by id. A destroyed machine has no row."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def in_states(self, *states: MachineState) -> list[Machine]:
        """Return the machines in any of these states."""
        return list(self._db.unchanged(("machines", *states), lambda: self._in_states(states)))

    def _in_states(self, states: Sequence[MachineState]) -> Sequence[Machine]:
        query = select(*_ROW).where(machines.c.state.in_([state.value for state in states]))
        with self._db.read() as connection:
            return [_machine(row) for row in connection.execute(query)]

    def apps_with(self, key: str) -> list[str]:
        """Return the apps with a machine whose configuration may have this key; some may not."""
        query = select(machines.c.app).where(cast(machines.c.config, Text).contains(f'"{key}"', autoescape=True))
        with self._db.read() as connection:
            return list(connection.execute(query.distinct()).scalars())

    def on_slot(self, slot: int) -> Machine | None:
        """Return the machine that has a slot of the host, or None."""
        with self._db.read() as connection:
            row = connection.execute(select(*_ROW).where(machines.c.slot == slot)).first()
        return _machine(row) if row else None

    def unsettled(self, present: Collection[str]) -> Sequence[Machine]:
        """Return the machines that may need something at the start: those that do not rest as desired.

        A machine that rests and of which nothing is on the host (`present`) needs nothing, and there may
        be very many of those: they are left out in SQL.
        """
        at_rest = [MachineState.STOPPED.value, MachineState.FAILED.value, MachineState.CREATED.value]
        restless = machines.c.state.not_in(at_rest) | (machines.c.desired != MachineState.STOPPED.value)
        changing = machines.c.id.in_(select(updates.c.machine_id))
        query = select(*_ROW).where(restless | changing | machines.c.id.in_(list(present)))
        with self._db.read() as connection:
            return [_machine(row) for row in connection.execute(query)]

    def find(self, machine_id: str) -> Machine | None:
        """Return a machine or None."""
        with self._db.read() as connection:
            row = connection.execute(select(*_ROW).where(machines.c.id == machine_id)).first()
            return _machine(row) if row else None

    def get(self, app: str, machine_id: str) -> Machine:
        """Return a machine of an app; raises NotFound."""
        machine = self.find(machine_id)
        if machine is None or machine.app != app:
            raise NotFound("machine not found", hint=f"`roost machine list -a {app}` shows the machines")
        return machine

    def add(self, machine: Machine, event: Event, run: Run | None = None) -> None:
        """Add a machine with its first event, and the run that begins, and give it its volumes.

        Raises NameTaken when the app has one of that name, NotFound or FailedPrecondition for a volume it can't have.
        """
        with self._db.write() as connection:
            take(connection, machine)
            try:
                connection.execute(insert(machines).values(**machine_values(machine)))
                insert_event(connection, event, machine.app)
                if run is not None:
                    put_run(connection, run)
            except IntegrityError:
                raise NameTaken(
                    f"machine name {machine.name!r} is taken in app {machine.app}",
                    hint="choose another, or leave it out",
                ) from None

    def free_slot(self, limit: int) -> int:
        """Return the lowest slot from 1 on that no machine has; raises InsufficientCapacity at `limit`."""
        later = machines.alias()
        query = (
            select(func.min(machines.c.slot + 1))
            .select_from(machines.outerjoin(later, machines.c.slot + 1 == later.c.slot))
            .where(later.c.slot.is_(None))
        )
        with self._db.read() as connection:
            if connection.execute(select(machines.c.id).where(machines.c.slot == 1)).first() is None:
                return 1
            slot = connection.execute(query).scalar() or 1
        if slot >= limit:
            raise InsufficientCapacity(
                f"this host has no address left: {limit - 1} machines live on it",
                hint="destroy machines that aren't used",
            )
        return int(slot)

    def save(self, machine: Machine, event: Event | None = None, run: Run | None = None) -> None:
        """Write all of a machine's row, the event that changed it and what became of its run, in one transaction."""
        with self._db.write() as connection:
            connection.execute(update(machines).where(machines.c.id == machine.id).values(**machine_values(machine)))
            if event is not None:
                insert_event(connection, event, machine.app)
            if run is not None:
                put_run(connection, run)

    def scheduled(self, limit: int) -> Sequence[tuple[str, float]]:
        """Return the machines that run next: (id, when), the soonest first."""
        query = select(machines.c.id, machines.c.next_run_at).where(machines.c.next_run_at.is_not(None))
        with self._db.read() as connection:
            return [(id_, at) for id_, at in connection.execute(query.order_by(machines.c.next_run_at).limit(limit))]

    def standbys(self) -> Sequence[Machine]:
        """Return the machines that stand by for others."""
        with self._db.read() as connection:
            return [_machine(row) for row in connection.execute(select(*_ROW).where(machines.c.standby == 1))]

    def remove(self, machine_id: str, now: float = 0.0) -> None:
        """Remove the row and what belongs to it; its volumes are free again. Its events stay until the app goes.

        With `now`, the time, it is remembered among the destroyed ones.
        """
        with self._db.write() as connection:
            row = connection.execute(select(*_ROW).where(machines.c.id == machine_id)).first() if now else None
            if row is not None:
                gone: Any = {
                    "state": MachineState.DESTROYED,
                    "desired": MachineState.DESTROYED,
                    "updated_at": now,
                    "next_run_at": None,
                }
                remember(connection, "machine", machine_values(replace(_machine(row), **gone)), now)
            let_go(connection, machine_id)
            for table in (leases, updates, versions, runs):
                connection.execute(delete(table).where(table.c.machine_id == machine_id))
            connection.execute(delete(machines).where(machines.c.id == machine_id))

    def counts(self) -> dict[str, int]:
        """Return how many machines are in each state."""
        query = select(machines.c.state, func.count()).group_by(machines.c.state)
        with self._db.read() as connection:
            return {str(state): int(count) for state, count in connection.execute(query)}

    def counts_by_app(self, app: str = "") -> dict[str, int]:
        """Return how many machines each app has, or only the one named."""
        query = select(machines.c.app, func.count()).group_by(machines.c.app)
        if app:
            query = query.where(machines.c.app == app)
        with self._db.read() as connection:
            return {str(app): int(count) for app, count in connection.execute(query)}

    def image_digests(self) -> set[str]:
        """Return the digests of the images that machines use, are about to use, or may go back to."""
        undoing = select(versions.c.image_digest).where(versions.c.machine_id.in_(select(updates.c.machine_id)))
        used = union(select(machines.c.image_digest), select(updates.c.image_digest), undoing)
        of_containers = [
            select(table.c.config).where(cast(table.c.config, String).contains('"image_digest"'))
            for table in (machines, updates, versions)
        ]
        with self._db.read() as connection:
            found = set(connection.execute(used).scalars())
            for query in of_containers:
                for config in connection.execute(query).scalars():
                    several = (*config.get("containers", ()), *config.get("volumes", ()))
                    found |= {str(one["image_digest"]) for one in several if one.get("image_digest")}
            return found

    def of_org(self, asked: OrgListing) -> Sequence[Machine]:
        """Return an org's machines that are asked for, in the order of their last change."""
        query = page_by_state(select(*_ROW), machines, asked)
        with self._db.read() as connection:
            return [_machine(row) for row in connection.execute(query)]

    def list(self, app: str | None = None) -> list[Machine]:
        """Return all machines, or an app's, oldest first."""
        query = select(*_ROW)
        if app is not None:
            query = query.where(machines.c.app == app)
        with self._db.read() as connection:
            found = [_machine(row) for row in connection.execute(query).fetchall()]
        found.sort(key=lambda machine: (machine.created_at, machine.id))  # faster here than where whole rows move
        return found


class Events:
    """What happened to machines."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, event: Event, app: str) -> None:
        """Add an event that changes no row."""
        with self._db.write() as connection:
            insert_event(connection, event, app)

    def trim(self) -> None:
        """Keep only the latest EVENTS_KEPT events of each machine."""
        rank = func.row_number().over(partition_by=events.c.machine_id, order_by=events.c.id.desc())
        ranked = select(events.c.id, rank.label("rank")).subquery()
        with self._db.write() as connection:
            old = select(ranked.c.id).where(ranked.c.rank > EVENTS_KEPT)
            connection.execute(delete(events).where(events.c.id.in_(old)))

    def forget_gone(self, before: float) -> Sequence[str]:
        """Remove the events of machines that are gone and silent since `before`; return their ids."""
        living = select(machines.c.id)
        old = (
            select(events.c.machine_id)
            .where(events.c.machine_id.not_in(living))
            .group_by(events.c.machine_id)
            .having(func.max(events.c.at) < before)
        )
        with self._db.write() as connection:
            gone = [str(machine_id) for machine_id in connection.execute(old).scalars()]
            connection.execute(delete(events).where(events.c.machine_id.in_(gone)))
        return gone

    def machines_of(self, app: str, limit: int) -> list[str]:
        """Return the ids of the machines an app has or had, the latest used first."""
        query = (
            select(events.c.machine_id, func.max(events.c.id).label("latest"))
            .where(events.c.app == app)
            .group_by(events.c.machine_id)
            .order_by(func.max(events.c.id).desc())
            .limit(limit)
        )
        with self._db.read() as connection:
            return [str(row.machine_id) for row in connection.execute(query)]

    def of_machines(self, machine_ids: Sequence[str], limit: int) -> dict[str, list[Event]]:
        """Return each machine's events, newest first, at most `limit` of each: a query for many machines at once."""
        found: dict[str, list[Event]] = {}
        with self._db.read() as connection:
            for start in range(0, len(machine_ids), _AT_ONCE):
                some = machine_ids[start : start + _AT_ONCE]
                query = select(*_EVENT).where(events.c.machine_id.in_(some)).order_by(events.c.machine_id, events.c.id)
                for row in connection.execute(query).fetchall():
                    event = _event(row)
                    found.setdefault(event.machine_id, []).append(event)
        return {machine_id: these[::-1][:limit] for machine_id, these in found.items()}

    def list(self, machine_id: str, limit: int) -> list[Event]:
        """Return a machine's events, newest first."""
        query = select(*_EVENT).where(events.c.machine_id == machine_id).order_by(events.c.id.desc()).limit(limit)
        with self._db.read() as connection:
            return [_event(row) for row in connection.execute(query)]


def _event(row: Row[tuple[object, ...]]) -> Event:
    values: list[Any] = list(row)
    values[_AT_DETAIL] = {} if values[_AT_DETAIL] == "{}" else json.loads(values[_AT_DETAIL])
    return Event(*values)


def insert_event(connection: Connection, event: Event, app: str) -> None:
    """Add an event."""
    connection.execute(insert(events).values(app=app, **{name: getattr(event, name) for name in event.__slots__}))
