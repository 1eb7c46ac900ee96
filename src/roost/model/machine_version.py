"""Versions of a machine's configuration, and leases on a machine."""

from __future__ import annotations

from dataclasses import dataclass

from roost.model.machine_config import MachineConfig


@dataclass(frozen=True, slots=True)
class MachineVersion:
    """One configuration of a machine, current or earlier, with the image that its reference named then."""

    instance_id: str
    image_digest: str
    config: MachineConfig


@dataclass(frozen=True, slots=True)
class Update:
    """A configuration on its way to a machine.

    `previous` is the version it takes the place of. `launch`: the machine is to run with it. `revive`: it
    ran before, and runs again if the new one can't.
    """

    machine_id: str
    version: MachineVersion
    previous: str
    launch: bool
    revive: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to change a machine, for a time. Who knows `nonce` holds it; nobody else is told."""

    machine_id: str
    nonce: str
    owner: str
    description: str
    version: str  # ULID of the lease itself; a refresh keeps it
    expires_at: float  # Unix time
