"""How an issued certificate, the order under way and what DNS said are columns: the same in both tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from roost.model.certificate import Attempt, Issued, KeyKind, Seen


def attempt_values(attempt: Attempt | None, sealed: bytes | None) -> dict[str, Any]:
    """Return how far the issuing is, with the key that the order is for; without an order there is no key."""
    values: dict[str, Any] = {"attempt": asdict(attempt) if attempt else None}
    if sealed is not None or attempt is None:
        values["attempt_sealed"] = sealed
    return values


def issued_values(issued: Issued, sealed: bytes | None) -> dict[str, Any]:
    """Return an issued certificate; its key and the end of the order with it, unless `sealed` is None."""
    values: dict[str, Any] = {"issued": asdict(issued)}
    if sealed is not None:
        values |= {"issued_sealed": sealed, "attempt": None, "attempt_sealed": None}
    return values


def read(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's `issued`, `attempt` and `seen` as they are in the model."""
    issued, attempt, seen = row["issued"], row["attempt"], row["seen"]
    return {
        "issued": Issued(**(issued | {"kind": KeyKind(issued["kind"])})) if issued else None,
        "attempt": Attempt(**attempt) if attempt else None,
        "seen": _seen(seen) if seen else None,
    }


def _seen(data: dict[str, Any]) -> Seen:
    kept: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Seen(**kept)
