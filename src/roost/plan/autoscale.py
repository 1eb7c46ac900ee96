"""How many machines a process group should have: decided from what was seen lately, with the reason in words. Pure.

Each look makes a `Sample`: how many machines the load asks for. It asks for more when `target` per machine is exceeded,
and for fewer only when a tenth of that would be left over too (`SLACK`), so that a load at the edge moves nothing. More
are made when all samples of the last `up_after` seconds ask for more, and then as many as the least of them; fewer are
kept when all of the last `down_after` seconds ask for fewer, as many as the greatest of them. Whoever has no samples of
so long a time (roostd has just come up) waits. What can't be seen never takes a machine away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roost.model.autoscale import JOINING, MADE, MADE_KEY, AutoscalePolicy, Signal
from roost.model.machine import Machine, MachineState

SLACK = 0.1
STAY = 'machines that autoscaling did not make stay (remove is "made")'
SPELL_ENDS = 300.0  # seconds without, after which the same hindrance is news
_UP = (MachineState.STARTED, MachineState.STARTING)
_ASLEEP = (MachineState.SUSPENDED, MachineState.STOPPED, MachineState.CREATED)


@dataclass(frozen=True, slots=True)
class Group:
    """The machines of a process group, as autoscaling counts them; the oldest first. Those cordoned do not count."""

    running: tuple[Machine, ...] = ()
    asleep: tuple[Machine, ...] = ()
    others: tuple[Machine, ...] = ()  # failed, or on their way somewhere
    joining: tuple[Machine, ...] = ()  # made by autoscaling, not yet healthy

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.running) + len(self.asleep) + len(self.others) + len(self.joining)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look saw. None: it can't be told."""

    requests: int | None = None  # under way on the group's machines, and waiting for one
    waiting: int = 0  # of these, for a machine below its hard_limit
    metrics: tuple[float | None, ...] = ()  # of the policy's signals, in their order


@dataclass(frozen=True, slots=True)
class Sample:
    """What one look asked for."""

    at: float
    up: int  # machines without exceeding a target
    down: int  # machines with SLACK to spare
    why: str
    blind: bool = False  # a signal could not be seen


@dataclass(frozen=True, slots=True)
class Verdict:
    """What should be done now: wake some, make some, take some away; or nothing, with the reason."""

    wanted: int
    why: str
    wake: tuple[Machine, ...] = ()
    make: int = 0
    remove: tuple[Machine, ...] = ()
    held: str = ""  # why not more or fewer although the load asks for it
    action: str = ""  # up | down | limit | blind; "": nothing worth an entry in the log

    @property
    def acts(self) -> bool:
        """Whether machines are to be changed."""
        return bool(self.wake or self.make or self.remove)


@dataclass(slots=True)
class Spell:
    """What keeps a group from what its load asks for: one line tells of it, however often the load comes and goes."""

    told: tuple[str, str] = ("", "")  # action and reason
    last: float = 0.0  # when it was so for the last time

    def begins(self, verdict: Verdict, now: float) -> bool:
        """True when this is worth a line: something else than before, or the same after a while without."""
        if not verdict.action:
            return False
        told = (verdict.action, verdict.held)
        new = told != self.told or now - self.last > SPELL_ENDS
        self.told, self.last = told, now
        return new


@dataclass(slots=True)
class History:
    """The samples of one group since it was first looked at, or last changed."""

    samples: list[Sample] = field(default_factory=list)
    since: float = 0.0  # when looking began

    def add(self, sample: Sample, keep: float) -> None:
        """Add the latest; those of more than `keep` seconds ago are forgotten, but for one."""
        if not self.samples:
            self.since = sample.at
        self.samples.append(sample)
        while len(self.samples) > 1 and self.samples[1].at <= sample.at - keep:
            self.samples.pop(0)

    def within(self, seconds: float, now: float) -> Sequence[Sample]:
        """Return the samples of so long a time; none when looking began later than that."""
        if now - self.since < seconds:
            return ()
        return [sample for sample in self.samples if sample.at >= now - seconds] or self.samples[-1:]


def group_of(machines: Sequence[Machine], group: str) -> Group:
    """Sort a group's machines. Those that no release made, and standbys, are not autoscaling's affair."""
    mine = [
        m for m in machines
        if m.process_group == group and m.release and not m.config.standbys and m.state is not MachineState.DESTROYING
    ]  # fmt: skip
    mine.sort(key=lambda m: (m.created_at, m.id))
    joining = tuple(m for m in mine if m.config.metadata.get(MADE_KEY) == JOINING)
    there = [m for m in mine if m not in joining and not m.cordoned]
    return Group(
        running=tuple(m for m in there if m.state in _UP),
        asleep=tuple(m for m in there if m.state in _ASLEEP),
        others=tuple(m for m in there if m.state not in (*_UP, *_ASLEEP)),
        joining=joining,
    )


def sample(policy: AutoscalePolicy, seen: Seen, *, total: int, at: float) -> Sample:
    """Return what the load asks for: the most demanding signal counts."""
    asked: list[tuple[int, int, str]] = []
    blind = []
    if policy.concurrency:
        if seen.requests is None:
            blind.append("the edge does not tell how many requests there are")
        else:
            waiting = f" ({seen.waiting} of them waiting)" if seen.waiting else ""
            asked.append(_asked(f"{seen.requests} requests at once{waiting}", seen.requests, policy.concurrency))
    for signal, value in zip(policy.signals, seen.metrics, strict=True):
        if value is None or math.isinf(value):
            blind.append(f"no machine tells {signal.name}")
        else:
            asked.append(_asked(f"{_spelt(signal)} is {_number(value)}", value, signal.target))
    up, down, why = max(asked, key=lambda one: one[:2], default=(0, 0, ""))
    if blind:
        up, down = max(up, 0), max(down, total)  # what can't be seen takes nothing away
        why = "; ".join(filter(None, (why, *blind)))
    return Sample(at, up, down, why, bool(blind))


def _asked(what: str, value: float, target: float) -> tuple[int, int, str]:
    up = max(0, math.ceil(value / target - 1e-9))
    down = max(0, math.ceil(value / (target * (1 - SLACK)) - 1e-9))
    machines = "1 machine" if up == 1 else f"{up} machines"
    return up, down, f"{what}, {_number(target)} per machine: {machines}"


def _spelt(signal: Signal) -> str:
    labels = ",".join(f'{key}="{value}"' for key, value in signal.labels)
    return f"{signal.name}{'{' + labels + '}' if labels else ''} ({signal.aggregate})"


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e15 else f"{value:.3e}"


def decide(policy: AutoscalePolicy, group: Group, history: History, now: float) -> Verdict:
    """Decide for one group from the samples, of which the latest is of now."""
    latest = history.samples[-1]
    total = group.total
    rising, falling = history.within(policy.up_after, now), history.within(policy.down_after, now)
    asked_up = min((s.up for s in rising), default=total)
    if total < policy.min:
        return Verdict(policy.min, f"min is {policy.min}", make=_step(policy.min - total, policy.up_step), action="up")
    if latest.up > len(group.running) + len(group.joining):
        return _more(policy, group, latest, asked_up)
    asked_down = max((s.down for s in falling), default=total)
    floor = max(latest.down, policy.min)
    if floor < total:
        return _fewer(policy, group, latest, max(asked_down, policy.min), floor, held=not falling)
    if latest.blind:
        return Verdict(total, latest.why, held="what can't be seen takes no machine away", action="blind")
    kept = latest.up < total == policy.min
    return Verdict(total, latest.why, held=f"min is {policy.min}" if kept else "")


def _more(policy: AutoscalePolicy, group: Group, latest: Sample, asked: int) -> Verdict:
    total, up = group.total, len(group.running) + len(group.joining)
    if asked <= up:
        return Verdict(total, latest.why, held=f"not for {policy.up_after:g} s yet (up_after)")
    bounded = min(asked, max(policy.max, up))
    more = _step(bounded - up, policy.up_step)
    wake = group.asleep[:more]
    make = max(0, min(more - len(wake), policy.max - total))
    held = f"max is {policy.max}" if asked > policy.max else ""
    if not wake and not make:
        reason = held or f"max is {policy.max}, and machines that can't be started count"
        return Verdict(total, latest.why, held=reason, action="limit")
    return Verdict(total + make, latest.why, wake=wake, make=make, held=held, action="up")


def _fewer(policy: AutoscalePolicy, group: Group, latest: Sample, asked: int, floor: int, *, held: bool) -> Verdict:
    total = group.total
    removable = [*reversed(group.others), *reversed(group.asleep), *reversed(group.running)]
    mine = [m for m in removable if policy.remove == "any" or m.config.metadata.get(MADE_KEY) == MADE]
    mine = [m for m in mine if not m.config.mounts]
    if not mine:
        return Verdict(total, latest.why, held=STAY)
    if held or asked >= total:
        return Verdict(total, latest.why, held=f"not for {policy.down_after:g} s yet (down_after)")
    gone = mine[: _step(total - max(asked, floor), policy.down_step)]
    return Verdict(total - len(gone), latest.why, remove=tuple(gone), action="down")


def _step(change: int, most: int) -> int:
    return min(change, most) if most else change


def as_seen(policy: AutoscalePolicy, seen: Seen) -> dict[str, Any]:
    """Return what was seen, for the log."""
    out: dict[str, Any] = {}
    if policy.concurrency:
        out["requests"], out["waiting"] = seen.requests, seen.waiting
    if policy.signals:
        told: Mapping[str, float | None] = {
            _spelt(signal): value for signal, value in zip(policy.signals, seen.metrics, strict=True)
        }
        out["metrics"] = dict(told)
    return out
