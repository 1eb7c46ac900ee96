"""Metrics of machines, as the fake of control has them."""

from __future__ import annotations

from typing import Any


class Metrics:
    def __init__(self, world: Any) -> None:
        self.world = world

    def text(self, app: str) -> str:
        self.world.app(app)
        return f'# TYPE up gauge\nup{{app="{app}"}} 1\n'
