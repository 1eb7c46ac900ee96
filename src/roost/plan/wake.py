"""What a request finds: which machine to bring up for it, or why it can't be served."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from roost.model.edge_errors import exit_code
from roost.model.machine import Machine, MachineState
from roost.plan.idle import web_service

RETRY_FAILED_AFTER = 10.0  # seconds: a broken app is tried again by a request, but not by each one


@dataclass(frozen=True, slots=True)
class Rouse:
    """Bring this machine up (it may be up already)."""

    machine: Machine


@dataclass(frozen=True, slots=True)
class Refuse:
    """Why nothing can be brought up: whose fault, a machine-readable code, one sentence, the next step."""

    status: int
    fault: str
    code: str
    message: str
    hint: str


_ORDER = {
    MachineState.STARTED: 0,
    MachineState.SUSPENDED: 1,
    MachineState.SUSPENDING: 1,
    MachineState.STARTING: 2,
    MachineState.STOPPED: 3,
    MachineState.CREATED: 3,
    MachineState.STOPPING: 4,
    MachineState.FAILED: 5,
}


def whom_to_wake(
    app: str,
    machines: Sequence[Machine],
    *,
    release_failure: str,
    now: float,
    failing: Collection[str] = (),
    released: bool = False,
) -> Rouse | Refuse:
    """Choose the machine that answers soonest: running, then suspended, then stopped; `failing` ones (ids) last.

    `released` says whether a release of the app ever served: without machines it has lost them then.
    """
    with_service = [m for m in machines if web_service(m) is not None and m.state in _ORDER and not _stands_by(m)]
    serving = [m for m in with_service if not m.cordoned]
    if not machines:
        if release_failure:
            return Refuse(
                503,
                "app",
                "release_failed",
                f"The latest release of {app} failed: {release_failure}",
                "roost logs -a " + app,
            )
        if released:
            return Refuse(
                503,
                "app",
                "without_machines",
                f"{app} has no machines: they were destroyed, or scaled to 0.",
                f"Make one: roost scale count 1 -a {app}",
            )
        return Refuse(503, "app", "no_release", f"{app} has no release yet.", f"Deploy one: roost deploy -a {app}")
    if with_service and not serving:
        return Refuse(
            503,
            "app",
            "not_healthy_yet",
            f"No machine of {app} takes requests: its first release is not healthy yet, or they are cordoned.",
            f"Try again in a moment, or `roost machine uncordon`. What it says: roost logs -a {app}",
        )
    if not serving:
        return Refuse(
            503,
            "app",
            "no_service",
            f"No machine of {app} serves a port.",
            "Add [http_service] to its roost.toml and deploy.",
        )
    best = min(serving, key=lambda m: (m.id in failing, _ORDER[m.state], m.created_at))
    service = web_service(best)
    if best.state in (MachineState.STARTED, MachineState.STARTING):
        return Rouse(best)
    if service is not None and not service.autostart:
        return Refuse(
            503,
            "app",
            "stopped",
            f"{app} is stopped, and auto_start_machines is off.",
            f"roost machine start {best.id} -a {app}",
        )
    if best.state is MachineState.FAILED and now - best.updated_at < RETRY_FAILED_AFTER:
        how = best.last_exit.describe() if best.last_exit else "could not be started"
        return Refuse(
            502, "app", exit_code(best.last_exit), f"{app} {how}, again and again.", f"See why: roost logs -a {app}"
        )
    return Rouse(best)


def _stands_by(machine: Machine) -> bool:
    """Say whether it is a standby that is not needed; no request starts one."""
    return bool(machine.config.standbys) and machine.state in (
        MachineState.CREATED,
        MachineState.STOPPED,
        MachineState.FAILED,
    )
