"""Whether one more of an app's machines should run, or one fewer: by `soft_limit`, of those that there are. Pure.

Groups of machines are looked at apart. One more is started when each that takes requests has more than its soft_limit;
one goes to sleep when the reference's rule has one in excess (as many below their soft_limit as leave one to spare) and
the others could take what there is with a tenth to spare, so that no machine comes and goes with a load that stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from roost.model.machine import Machine, MachineState
from roost.model.machine_config import Service
from roost.plan.idle import web_service

SLACK = 0.1
_REST = {MachineState.SUSPENDED: 0, MachineState.STOPPED: 1, MachineState.CREATED: 1}


def limited(machine: Machine) -> Service | None:
    """Return the service of a machine that has a soft_limit and no other purpose, else None."""
    service = web_service(machine)
    if service is None or not service.soft_limit or machine.cordoned or machine.config.standbys:
        return None
    return service


def whom_to_start(machines: Sequence[Machine], loads: Mapping[str, int], routed: Collection[str]) -> Machine | None:
    """Return a machine that sleeps and should be woken: all of its group that run have more than they should.

    `loads` are requests under way by machine, `routed` those that get requests: who is on the way up is waited for.
    """
    for group in _groups(machines):
        up = [m for m in group if m.state in (MachineState.STARTED, MachineState.STARTING)]
        if not up or not all(m.id in routed and _over(m, loads) for m in up):
            continue
        resting = [m for m in group if m.state in _REST and (s := limited(m)) is not None and s.autostart]
        if resting:
            return min(resting, key=lambda m: (_REST[m.state], m.created_at, m.id))
    return None


def is_short(running: Sequence[Machine], loads: Mapping[str, int]) -> bool:
    """Say whether all that run of some group have more than they should: cheap, and enough to look no further."""
    return any(all(_over(m, loads) for m in group) for group in _groups(running))


def in_excess(machines: Sequence[Machine], loads: Mapping[str, int]) -> list[Machine]:
    """Return of each group the machine that may go to sleep, if one is in excess: the least loaded, then the newest."""
    found = []
    for group in _groups(machines):
        up = [m for m in group if m.state is MachineState.STARTED]
        services = [s for m in up if (s := limited(m)) is not None and s.autostop != "off"]
        over = sum(_over(m, loads) for m in up)
        keep = max((s.min_machines_running for s in services), default=0)
        if len(services) < len(up) or len(up) - (over + 1) < 1 or len(up) <= max(keep, 1):
            continue
        room = (1 - SLACK) * sum(sorted(s.soft_limit for s in services)[:-1])
        if sum(loads.get(m.id, 0) for m in up) <= room:
            found.append(min(up, key=lambda m: (loads.get(m.id, 0), -m.created_at, m.id)))
    return found


def _groups(machines: Iterable[Machine]) -> list[list[Machine]]:
    groups: dict[str, list[Machine]] = defaultdict(list)
    for machine in machines:
        if limited(machine) is not None:
            groups[machine.process_group].append(machine)
    return list(groups.values())


def _over(machine: Machine, loads: Mapping[str, int]) -> bool:
    service = limited(machine)
    return service is not None and loads.get(machine.id, 0) > service.soft_limit
