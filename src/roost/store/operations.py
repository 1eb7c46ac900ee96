"""Rows of operations, and what they reported."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from roost.model.errors import NotFound
from roost.model.operation import Operation, OperationState, Progress
from roost.store.database import Database
from roost.store.schema import operations, progress

_COLUMNS = [column for column in operations.c if column.name != "sealed"]


def _operation(row: Row[tuple[object, ...]]) -> Operation:
    data: dict[str, Any] = dict(row._mapping)
    data["state"] = OperationState(data["state"])
    data["steps"] = tuple(data["steps"])
    return Operation(**data)


class Operations:
    """Operations by id. Their progress is append-only."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, operation: Operation, sealed: bytes | None = None) -> None:
        """Add an operation; `sealed` holds secret arguments, encrypted."""
        with self._db.write() as connection:
            connection.execute(
                insert(operations).values(
                    id=operation.id,
                    kind=operation.kind,
                    app=operation.app,
                    state=operation.state.value,
                    step=operation.step,
                    steps=list(operation.steps),
                    arguments=operation.arguments,
                    sealed=sealed,
                    result=operation.result,
                    error=operation.error,
                    hint=operation.hint,
                    created_at=operation.created_at,
                    updated_at=operation.updated_at,
                )
            )

    def get(self, operation_id: str) -> Operation:
        """Return an operation; raises NotFound."""
        with self._db.read() as connection:
            row = connection.execute(select(*_COLUMNS).where(operations.c.id == operation_id)).first()
        if row is None:
            raise NotFound(f"operation not found: {operation_id[:80]!r}", hint="`roost operations list` shows them")
        return _operation(row)

    def sealed(self, operation_id: str) -> bytes | None:
        """Return the encrypted arguments, or None."""
        with self._db.read() as connection:
            return connection.execute(select(operations.c.sealed).where(operations.c.id == operation_id)).scalar()

    def save(self, operation: Operation) -> None:
        """Write state, step, result and error. The secret arguments go when it has ended."""
        values: dict[str, Any] = {
            "state": operation.state.value,
            "step": operation.step,
            "result": operation.result,
            "error": operation.error,
            "hint": operation.hint,
            "updated_at": operation.updated_at,
        }
        if operation.state is not OperationState.RUNNING:
            values["sealed"] = None
        with self._db.write() as connection:
            connection.execute(update(operations).where(operations.c.id == operation.id).values(**values))

    def report(self, operation_id: str, lines: list[tuple[str, str, str, float]]) -> None:
        """Append progress lines (kind, step, text, at)."""
        with self._db.write() as connection:
            last = connection.execute(
                select(func.max(progress.c.number)).where(progress.c.operation == operation_id)
            ).scalar()
            start = (last or 0) + 1
            connection.execute(
                insert(progress),
                [
                    {"operation": operation_id, "number": start + i, "kind": kind, "step": step, "text": text, "at": at}
                    for i, (kind, step, text, at) in enumerate(lines)
                ],
            )

    def progress(self, operation_id: str, after: int, limit: int = 500) -> list[Progress]:
        """Return progress lines numbered above `after`."""
        query = (
            select(progress.c.number, progress.c.kind, progress.c.step, progress.c.text, progress.c.at)
            .where(progress.c.operation == operation_id, progress.c.number > after)
            .order_by(progress.c.number)
            .limit(limit)
        )
        with self._db.read() as connection:
            return [Progress(**row._mapping) for row in connection.execute(query)]

    def forget_before(self, at: float) -> None:
        """Remove operations that ended before `at`, with their progress."""
        old = select(operations.c.id).where(
            operations.c.updated_at < at, operations.c.state != OperationState.RUNNING.value
        )
        with self._db.write() as connection:
            connection.execute(delete(progress).where(progress.c.operation.in_(old)))
            connection.execute(delete(operations).where(operations.c.id.in_(old)))

    def list(self, app: str | None = None, *, running: bool = False, limit: int = 100) -> list[Operation]:
        """Return operations, newest first."""
        query = select(*_COLUMNS).order_by(operations.c.id.desc()).limit(limit)
        if app is not None:
            query = query.where(operations.c.app == app)
        if running:
            query = query.where(operations.c.state == OperationState.RUNNING.value)
        with self._db.read() as connection:
            return [_operation(row) for row in connection.execute(query)]
