"""Rows of runs of scheduled machines. They change together with the machine's row: see `machines.Machines.save`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from roost.model.run import Run, RunState, Trigger
from roost.store.database import Database
from roost.store.schema import runs

RUNS_KEPT = 100  # per machine, and as many of those that were skipped
_RUN = [runs.c[name] for name in Run.__slots__]


def _run(row: Row[tuple[object, ...]]) -> Run:
    values: dict[str, Any] = dict(row._mapping)
    return Run(**values | {"trigger": Trigger(values["trigger"]), "state": RunState(values["state"])})


def put_run(connection: Connection, run: Run) -> None:
    """Add a run, or write what became of it."""
    values = {name: getattr(run, name) for name in Run.__slots__}
    values |= {"trigger": run.trigger.value, "state": run.state.value}
    if not connection.execute(update(runs).where(runs.c.id == run.id).values(**values)).rowcount:
        connection.execute(insert(runs).values(**values))


class Runs:
    """Runs by machine. A run's id sorts by its time."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def under_way(self, machine_id: str) -> Run | None:
        """Return the machine's run that has not ended, or None."""
        query = select(*_RUN).where(runs.c.machine_id == machine_id, runs.c.state == RunState.RUNNING.value)
        with self._db.read() as connection:
            row = connection.execute(query.order_by(runs.c.id.desc()).limit(1)).first()
        return _run(row) if row else None

    def list(self, machine_id: str, *, before: str = "", limit: int = 100) -> Sequence[Run]:
        """Return the machine's runs, newest first, before an id."""
        query = select(*_RUN).where(runs.c.machine_id == machine_id).order_by(runs.c.id.desc()).limit(limit)
        if before:
            query = query.where(runs.c.id < before)
        with self._db.read() as connection:
            return [_run(row) for row in connection.execute(query)]

    def trim(self) -> None:
        """Keep only the latest RUNS_KEPT of each machine, and of those skipped, and all that go on."""
        group = (runs.c.machine_id, runs.c.state == RunState.SKIPPED.value)
        rank = func.row_number().over(partition_by=group, order_by=runs.c.id.desc())
        ranked = select(runs.c.id, rank.label("rank")).where(runs.c.state != RunState.RUNNING.value).subquery()
        with self._db.write() as connection:
            old = select(ranked.c.id).where(ranked.c.rank > RUNS_KEPT)
            connection.execute(delete(runs).where(runs.c.id.in_(old)))
