"""Runs in memory: those that a test put there, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roost.model.run import Run


class Schedules:
    def __init__(self, world: Any) -> None:
        self.world = world
        self.of: dict[str, list[Run]] = {}

    def runs(self, app: str, machine_id: str, *, before: str = "", limit: int = 100) -> Sequence[Run]:
        self.world.machine(app, machine_id)
        return [run for run in self.of.get(machine_id, []) if not before or run.id < before][:limit]
