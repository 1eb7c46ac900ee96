"""What was destroyed lately, in memory, and pages of an org's listings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from roost.model.listing import OrgListing
from roost.model.machine import Machine, MachineState
from roost.model.volume import Volume, VolumeState

if TYPE_CHECKING:
    from tests.contract.api.fake_world import World

Row = TypeVar("Row", Machine, Volume)


@dataclass
class Destroyed:
    machines: list[Machine] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)

    def add(self, machine: Machine) -> None:
        gone = MachineState.DESTROYED
        self.machines.append(replace(machine, state=gone, desired=gone, updated_at=time.time()))

    def add_volume(self, volume: Volume) -> None:
        self.volumes.append(replace(volume, state=VolumeState.DESTROYED, updated_at=time.time()))

    def machines_of(self, app: str) -> list[Machine]:
        return [machine for machine in self.machines if machine.app == app]


def page_of(world: World, rows: Sequence[Row], asked: OrgListing) -> list[Row]:
    found = [
        row
        for row in rows
        if row.app in world.apps
        and world.apps[row.app].org == asked.org
        and (row.updated_at, row.id) > asked.after
        and (not asked.states or str(row.state) in asked.states)
        and asked.region in ("", row.region)
    ]
    return sorted(found, key=lambda row: (row.updated_at, row.id))[: asked.limit]
