"""Which suspended machines give their memory back when the host runs short of it: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from roost.model.machine import Machine

_RESERVE = 0.05  # of the host's memory
_RESERVE_MOST = 1 << 30  # bytes
_HEADROOM = 1.25  # of the reserve: freeing a little more than is missing keeps rounds rare


@dataclass(frozen=True, slots=True)
class Sleeper:
    """A suspended machine and the bytes that stopping it would free."""

    machine: Machine
    memory: int


@dataclass(frozen=True, slots=True)
class Relief:
    """A suspended machine that should be stopped, and why, in words for its owner."""

    machine: Machine
    reason: str


def reserve(total: int) -> int:
    """Return how many of the host's `total` bytes stay free unless the operator says otherwise: 5 %, at most 1 GiB."""
    return min(int(total * _RESERVE), _RESERVE_MOST)


def is_short(available: int, kept_free: int) -> bool:
    """Tell whether suspended machines must give memory back."""
    return available < kept_free


def relieve(sleepers: Iterable[Sleeper], *, available: int, kept_free: int) -> tuple[Relief, ...]:
    """Decide who is stopped so that `kept_free` bytes are available: those suspended the longest first.

    `available` is what the kernel could give to new work. A machine that a request starts again goes before
    one that only its owner can start. Sizes are bytes.
    """
    missing = kept_free * _HEADROOM - available if is_short(available, kept_free) else 0
    reliefs: list[Relief] = []
    for sleeper in sorted(sleepers, key=lambda s: (not _wakes(s.machine), s.machine.updated_at, s.machine.id)):
        if missing <= 0:
            break
        missing -= sleeper.memory
        reason = (
            f"the host is short of memory ({available >> 20} MB free of {kept_free >> 20} MB that are kept free), "
            f"and it was among the longest asleep: {sleeper.memory >> 20} MB are given back"
        )
        reliefs.append(Relief(sleeper.machine, reason))
    return tuple(reliefs)


def _wakes(machine: Machine) -> bool:
    return any(service.autostart for service in machine.config.services)
