"""Machines: isolated sets of processes made from an image, and their legal state changes.

States and names are the Fly Machines API's (reference, section 1.5), so that its clients work unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from roost.model.errors import FailedPrecondition
from roost.model.machine_config import MachineConfig


class MachineState(StrEnum):
    """Where a machine is in its life."""

    CREATED = "created"
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    FAILED = "failed"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"


_S = MachineState
TRANSITIONS: dict[MachineState, frozenset[MachineState]] = {
    _S.CREATED: frozenset({_S.STARTING, _S.DESTROYING}),
    _S.STARTING: frozenset({_S.STARTED, _S.FAILED, _S.STOPPING, _S.STOPPED, _S.DESTROYING}),
    _S.STARTED: frozenset({_S.STOPPING, _S.STOPPED, _S.SUSPENDING, _S.FAILED, _S.DESTROYING, _S.STARTING}),
    _S.STOPPING: frozenset({_S.STOPPED, _S.FAILED, _S.DESTROYING}),
    _S.STOPPED: frozenset({_S.STARTING, _S.DESTROYING}),
    _S.SUSPENDING: frozenset({_S.SUSPENDED, _S.STARTED, _S.STOPPED, _S.STOPPING, _S.DESTROYING}),
    _S.SUSPENDED: frozenset({_S.STARTING, _S.STARTED, _S.STOPPING, _S.STOPPED, _S.DESTROYING}),
    _S.FAILED: frozenset({_S.STARTING, _S.DESTROYING}),
    _S.DESTROYING: frozenset({_S.DESTROYED}),
    _S.DESTROYED: frozenset(),
}


def check_transition(machine_id: str, current: MachineState, new: MachineState) -> None:
    """Raise FailedPrecondition unless a machine may go from `current` to `new`."""
    if new is not current and new not in TRANSITIONS[current]:
        raise FailedPrecondition(
            f"machine {machine_id} can't go from {current} to {new}",
            hint=f"wait until it has settled: roost machine list shows it; from {current} it can go to "
            + (", ".join(sorted(TRANSITIONS[current])) or "nothing"),
        )


@dataclass(frozen=True, slots=True)
class ExitInfo:
    """How a machine's main process ended."""

    exit_code: int
    signal: int  # 0 when it exited by itself
    oom_killed: bool
    requested_stop: bool
    at: float  # Unix time

    def describe(self) -> str:
        """Say it in words, for an error page or a log line."""
        if self.oom_killed:
            return "was killed because it used more memory than its limit"
        if self.signal:
            return f"was ended by signal {self.signal}"
        return f"exited with code {self.exit_code}"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine: what is desired, what was last observed, and where it lives."""

    id: str
    app: str
    name: str
    state: MachineState  # observed
    desired: MachineState  # STARTED, SUSPENDED, STOPPED or DESTROYED
    config: MachineConfig
    instance_id: str  # ULID of this configuration
    region: str
    image_digest: str
    release: int  # 0 when no release made it
    process_group: str
    slot: int  # position in the address and uid space of the host, unique among living machines
    private_ip: str  # 6PN IPv6
    private_ipv4: str
    cordoned: bool
    restarts: int  # in the current back-off window
    last_exit: ExitInfo | None
    created_at: float
    updated_at: float
    next_run_at: float | None = None  # of one with a schedule
