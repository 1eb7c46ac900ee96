"""Rows of ports of the cloud that are an app's own. First come, first served."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, insert, select, update

from roost.model.errors import Conflict
from roost.store.database import Database
from roost.store.schema import public_ports

Key = tuple[str, int]  # protocol and port


class PublicPorts:
    """Ports by app."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def claim(self, app: str, keys: Iterable[Key], at: float) -> None:
        """Give an app all of these ports or, raising Conflict that names who has one, none."""
        with self._db.write() as connection:
            for protocol, port in keys:
                here = (public_ports.c.protocol == protocol) & (public_ports.c.port == port)
                holder = connection.execute(select(public_ports.c.app).where(here)).scalar()
                if holder is None:
                    values = {"protocol": protocol, "port": port, "app": app, "claimed_at": at}
                    connection.execute(insert(public_ports).values(**values))
                elif holder == app:
                    connection.execute(update(public_ports).where(here).values(claimed_at=at))
                else:
                    raise Conflict(
                        f"services: port {port} ({protocol}) is taken by the app {holder!r}",
                        hint="an address has each port once: take another, or take it from that app first",
                    )

    def of_app(self, app: str) -> list[Key]:
        """Return an app's ports."""
        with self._db.read() as connection:
            query = select(public_ports.c.protocol, public_ports.c.port).where(public_ports.c.app == app)
            return sorted((row.protocol, row.port) for row in connection.execute(query))

    def all(self) -> dict[str, list[Key]]:
        """Return the ports of all apps that have some."""
        found: dict[str, list[Key]] = {}
        with self._db.read() as connection:
            for row in connection.execute(select(public_ports.c.app, public_ports.c.protocol, public_ports.c.port)):
                found.setdefault(row.app, []).append((row.protocol, row.port))
        return found

    def release(self, app: str, keys: Iterable[Key], *, claimed_before: float) -> list[Key]:
        """Take ports from an app, unless it claimed them anew since; returns those that were taken."""
        gone = []
        with self._db.write() as connection:
            for protocol, port in keys:
                query = delete(public_ports).where(
                    public_ports.c.app == app,
                    public_ports.c.protocol == protocol,
                    public_ports.c.port == port,
                    public_ports.c.claimed_at < claimed_before,
                )
                if connection.execute(query).rowcount:
                    gone.append((protocol, port))
        return gone
