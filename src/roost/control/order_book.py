"""Where the names come from that certificates are issued for, and where what came of it is kept.

State owned: none; rows are the store's. The issuing is the same for all books: `issuing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from roost.control.core import Core
from roost.control.sealing import of_app
from roost.model.certificate import Attempt, Certificate, Issued
from roost.plan.issuing import asks_at, due_at

Announce = Callable[[str, str], None]


class OrderRows(Protocol):
    """Rows of certificates that are issued, by app and host name."""

    def get(self, app: str, hostname: str) -> Certificate:
        """Return one; raises NotFound when it is wanted no longer."""

    def save_attempt(self, app: str, hostname: str, attempt: Attempt | None, *, sealed: bytes | None = None) -> None:
        """Store how far the issuing is, with the key that the order is for."""

    def save_issued(self, app: str, hostname: str, issued: Issued, sealed: bytes | None) -> None:
        """Store an issued certificate; its key and the end of the order with it, unless `sealed` is None."""

    def sealed_keys(self, hostname: str) -> tuple[bytes | None, bytes | None]:
        """Return what was sealed of the keys of the issued certificate and of the order under way."""


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Some names that certificates are wanted for."""

    rows: OrderRows
    due: Callable[[float, frozenset[str]], Iterable[tuple[Certificate, bool]]]
    """What to work on at a time, beside what is being worked on: True to issue, False to ask about a renewal."""
    data_key: Callable[[str], str]  # app -> name of the data key that seals its private keys
    announce: Announce  # called when one was issued
    ended: Announce = lambda _app, _host: None  # called when an order has ended, well or not, and that is stored


def of_apps(core: Core, announce: Announce, ended: Announce) -> OrderBook:
    """Return the book of apps' own host names."""
    rows = core.store.certificates

    def due(now: float, _busy: frozenset[str]) -> Iterable[tuple[Certificate, bool]]:
        for found in rows.to_issue():
            ask_at = asks_at(found)
            if due_at(found) <= now:
                yield found, True
            elif ask_at is not None and ask_at <= now:
                yield found, False

    return OrderBook(rows, due, of_app, announce, ended)
