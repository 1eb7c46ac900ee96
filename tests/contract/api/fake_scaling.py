"""Scaling in memory: it remembers what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roost.model.errors import BadInput
from roost.model.operation import Operation


class Scaling:
    def __init__(self, world: Any) -> None:
        self.world = world

    def counts(self, app: str) -> Mapping[str, int]:
        self.world.app(app)
        return {"app": 1, "worker": 0}

    def start(self, app: str, counts: Mapping[str, int]) -> Operation:
        self.world.app(app)
        if unknown := set(counts) - {"app", "worker"}:
            raise BadInput(f"{app} has no process group {unknown.pop()!r}")
        self.world.asked.append(("scale", app, dict(counts)))
        made: Operation = self.world.operation("scale", app)
        return made
