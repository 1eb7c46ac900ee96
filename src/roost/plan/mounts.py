"""Which volume a machine has when its configuration changes."""

from __future__ import annotations

from dataclasses import replace

from roost.model.errors import BadInput
from roost.model.machine_config import MachineConfig


def with_kept_volumes(old: MachineConfig, new: MachineConfig) -> MachineConfig:
    """Return `new` with the volumes of `old`, named by id; raises BadInput when it asks for others.

    A volume belongs to one machine from its making to its end. Where it is mounted may change.
    """
    by_name = {mount.name: mount.volume for mount in old.mounts}
    by_id = {mount.volume: mount.name for mount in old.mounts}
    wanted = [mount.volume or by_name.get(mount.name, "") for mount in new.mounts]
    if sorted(wanted) != sorted(by_id) or any(
        mount.name not in ("", by_id[volume]) for mount, volume in zip(new.mounts, wanted, strict=True)
    ):
        raise BadInput(
            "config.mounts: an update can't change which volume a machine has",
            hint="make another machine with that volume, and destroy this one",
        )
    mounts = (
        replace(mount, volume=volume, name=by_id[volume], size_gb=0)
        for mount, volume in zip(new.mounts, wanted, strict=True)
    )
    return replace(new, mounts=tuple(mounts))
