"""Rows of answers that are given again. Bodies are encrypted before they come here."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select

from roost.model.replay import Kept
from roost.store.database import Database
from roost.store.schema import replays

TOTAL = 64 * 2**20  # bytes of answers that are kept: the oldest go first


class Replays:
    """Answers by key."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, key: bytes, since: float) -> Kept | None:
        """Return the answer that was kept under a key at `since` or later."""
        columns = (replays.c.request, replays.c.status, replays.c.media_type, replays.c.body, replays.c.at)
        with self._db.read() as connection:
            row = connection.execute(select(*columns).where(replays.c.key == key, replays.c.at >= since)).first()
            return Kept(**row._mapping) if row else None

    def keep(self, key: bytes, kept: Kept) -> None:
        """Keep an answer, in place of an older one."""
        with self._db.write() as connection:
            connection.execute(delete(replays).where(replays.c.key == key))
            connection.execute(
                insert(replays).values(key=key, **{name: getattr(kept, name) for name in kept.__slots__})
            )

    def forget_before(self, at: float) -> None:
        """Remove the answers given before `at`, and the oldest of those that are too many."""
        newer = func.sum(func.length(replays.c.body) + 512).over(order_by=(replays.c.at.desc(), replays.c.key))
        weighed = select(replays.c.key, newer.label("newer")).subquery()
        with self._db.write() as connection:
            connection.execute(delete(replays).where(replays.c.at < at))
            too_many = select(weighed.c.key).where(weighed.c.newer > TOTAL)
            connection.execute(delete(replays).where(replays.c.key.in_(too_many)))
