"""Who goes to sleep: decided from what the edge saw of an app and what its machines allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roost.model.machine import Machine, MachineState
from roost.model.machine_config import Service


@dataclass(frozen=True, slots=True)
class Nap:
    """Which machines of an app should sleep, how (suspend or stop), and why. Empty: stay awake."""

    machines: tuple[Machine, ...]
    how: str
    reason: str


def web_service(machine: Machine) -> Service | None:
    """Return the service that the edge routes HTTP to: the first one."""
    return machine.config.services[0] if machine.config.services else None


def who_sleeps(machines: Sequence[Machine], *, active: int, last_request_at: float, now: float) -> Nap:
    """Decide for one app. `active` counts requests under way; times are Unix seconds.

    A machine that just started has its whole idle time before it, whoever started it. The machines that run longest
    stay, of each process group as many as its `min_machines_running` asks for. A cordoned one is a rollout's affair, a
    standby runs as long as it is needed.
    """
    awake = [m for m in machines if m.state is MachineState.STARTED and not m.cordoned and not m.config.standbys]
    services = [s for m in awake if (s := web_service(m)) is not None and s.autostop != "off"]
    if not services:
        return Nap((), "off", "auto_stop_machines is off")
    if active > 0:
        return Nap((), services[0].autostop, f"{active} requests are under way")
    idle_time = max(s.idle_timeout for s in services)
    keep = max(s.min_machines_running for s in services)
    spare = [
        m for group in {m.process_group for m in awake} for m in _spare([x for x in awake if x.process_group == group])
    ]
    if not spare:
        return Nap((), services[0].autostop, f"min_machines_running is {keep}")
    quiet_for = now - max(last_request_at, *(m.updated_at for m in spare))
    if quiet_for < idle_time:
        return Nap((), services[0].autostop, f"quiet for {quiet_for:.0f} s of {idle_time:g} s")
    return Nap(
        tuple(spare), services[0].autostop, f"no request for {quiet_for:.0f} s (auto_stop_after is {idle_time:g} s)"
    )


def _spare(group: Sequence[Machine]) -> list[Machine]:
    """Return those of a process group's awake machines that need not run, the newest; some have autostop."""
    candidates = [m for m in group if (s := web_service(m)) is not None and s.autostop != "off"]
    keep = max((s.min_machines_running for m in candidates if (s := web_service(m)) is not None), default=0)
    ordered = sorted(candidates, key=lambda m: (m.created_at, m.id))
    return ordered[max(0, keep - (len(group) - len(candidates))) :]
