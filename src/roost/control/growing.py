"""Makes volumes larger that are nearly full, where their machine's configuration asks for it.

State: none. A round looks at the volumes of the machines that run; what it decides follows from sizes alone, so that a
round that is cut short is gone on with by the next one. What was done is told in the machine's events.
"""

from __future__ import annotations

import asyncio

from roost.control.capacity import require_room
from roost.control.core import Core, log
from roost.control.rounds import repeat
from roost.control.volumes import Volumes
from roost.model.app import Event
from roost.model.errors import RoostError
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import Mount
from roost.plan.growth import grown_size

PERIOD = 5.0  # seconds: a disk takes longer than that to write a fifth of a gigabyte's volume full


class Growing:
    """The watch over volumes that grow by themselves."""

    def __init__(self, core: Core, volumes: Volumes) -> None:
        self._core = core
        self._volumes = volumes

    async def run(self) -> None:
        """Look for ever."""
        await repeat(lambda: asyncio.to_thread(self.look), "making volumes larger", every=PERIOD)

    def look(self) -> None:
        """Make those larger that should be, once."""
        for machine in self._core.store.machines.in_states(MachineState.STARTED):
            for mount in machine.config.mounts:
                if mount.extend_threshold_percent and mount.volume:
                    try:
                        self._one(machine, mount)
                    except RoostError as error:
                        log.warning("a volume could not grow", volume=mount.volume, error=error.message)

    def _one(self, machine: Machine, mount: Mount) -> None:
        core = self._core
        volume = self._volumes.get(machine.app, mount.volume)
        size = grown_size(mount, volume.size_gb, core.host.volumes.usage(volume.id))
        if size <= volume.size_gb:
            return
        require_room(core.host, "a larger volume")
        _, needs_restart = self._volumes.extend(machine.app, volume.id, size)
        log.info("a volume grew", volume=volume.id, size_gb=size, needs_restart=needs_restart)
        detail: dict[str, object] = {
            "volume": volume.id,
            "size_gb": size,
            "previous_size_gb": volume.size_gb,
            "needs_restart": needs_restart,
        }
        event = Event(core.new_ulid(), machine.id, "volume_extend", "extended", "flyd", detail, core.now())
        core.store.events.add(event, machine.app)
