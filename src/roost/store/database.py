"""Opening the database, and its two kinds of access: reading and writing.

SQLite runs in WAL mode: readers never wait; writers take turns through one lock in this process,
which is the only writer. Every write is a transaction that is on disk when it returns
(synchronous=FULL), so what a caller was told survives a power cut.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, inspect, text

from roost.model.errors import DatabaseFull

MIGRATIONS = Path(__file__).parent / "migrations"
T = TypeVar("T")


class Database:
    """One open database, brought to the newest schema. A write raises DatabaseFull when there is no space for it."""

    def __init__(self, url: str) -> None:
        """Open `url` (SQLAlchemy form) and run the migrations it lacks."""
        self._engine = create_engine(url)
        self._turn = threading.RLock()
        self._writes = 0  # that have ended, by whatever way
        self._answers: dict[Hashable, tuple[int, object]] = {}
        event.listen(self._engine, "handle_error", _explain)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)
        with self._engine.begin() as connection:
            migrate(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for reading."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection inside a transaction, committed at the end, rolled back on an exception."""
        with self._turn:
            try:
                with self._engine.begin() as connection:
                    yield connection
            finally:
                self._writes += 1

    def unchanged(self, question: Hashable, read: Callable[[], T]) -> T:
        """Return what `read` returns, or did since the latest write: for what is asked each second, and seldom changes.

        All who ask get the same value, which nobody may change; questions are few. A write that has returned counts.
        """
        writes = self._writes
        known = self._answers.get(question)
        if known is None or known[0] != writes:
            known = self._answers[question] = (writes, read())
        return cast("T", known[1])

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @property
    def engine(self) -> Engine:
        """The engine, for tests of migrations."""
        return self._engine


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest revision; does nothing when it is there."""
    if _revision(connection) == newest_revision():
        return
    from alembic import command  # a third of roostd's start, which so is seldom paid
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def newest_revision() -> str:
    """Return the schema's newest revision: each migration's file begins with its own."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _explain(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        raise DatabaseFull(
            "nothing can be written down: the disk with the cloud's database is full",
            hint="free some space where HOME/state.db is, then try again",
        ) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000", "cache_size=-4000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
