"""What the lifecycle tells those who follow machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from roost.model.machine import Machine


class Observer(Protocol):
    """Who must know of a machine's changes: the edge's table and the watch on its process."""

    def came_up(self, machine: Machine, pid: int) -> None:
        """It runs; called after the row says so. Must not block."""

    def going_down(self, machine: Machine) -> None:
        """It will stop answering; returns when no new request reaches it and those under way have ended."""

    def fell_asleep(self, machine: Machine) -> None:
        """It is frozen: nothing in it can answer until it came up again. Must not block."""

    def went_down(self, machine: Machine) -> None:
        """It does not run any more. Must not block."""

    def later(self, delay: float, work: Callable[[], object]) -> None:
        """Run `work` in a thread after `delay` seconds."""
