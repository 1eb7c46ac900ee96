"""How a release replaces the one before: one machine at a time, the new one healthy before the old one goes.

A machine with a volume is the exception: nobody else can have its volume meanwhile, so it is remade in place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from roost.model.machine import Machine
from roost.model.machine_config import MachineConfig


@dataclass(frozen=True, slots=True)
class Bring:
    """Make a machine of the new release in a process group and wait until it is healthy."""

    group: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Take a machine of an earlier release out of the routes, let its requests end, and destroy it."""

    machine_id: str


@dataclass(frozen=True, slots=True)
class Remake:
    """Stop a machine, give it the release's image and configuration, and wait until it is healthy."""

    machine_id: str
    group: str


def wanted_counts(
    machines: Sequence[Machine], configs: Mapping[str, MachineConfig], empty: Collection[str] = ()
) -> dict[str, int]:
    """Return how many machines each group will have: as many as it has now, and one where it has none.

    Those `empty` have none because that was asked for, by hand or by the load, and stay so.
    """
    there = {group: sum(m.process_group == group for m in machines) for group in configs}
    return {group: count or (0 if group in empty else 1) for group, count in there.items()}


def rollout_step(
    machines: Sequence[Machine],
    wanted: Mapping[str, int],
    release: int,
    in_place: Collection[str] = (),
    *,
    all_first: bool = False,
) -> Bring | Remake | Retire | None:
    """Return the next step towards `release`, or None when it is reached. Looks only at what is there.

    `wanted` was counted before the first step. An old machine goes as soon as a new one is in its place,
    so that a group is never smaller than it was; groups that the release doesn't have go last. The machines of the
    groups `in_place`, and those that have a volume, are remade. With `all_first` none goes before all
    new ones are there.
    """
    if all_first:
        for group, count in wanted.items():
            there = sum(m.process_group == group and m.release == release for m in machines)
            if there < count and group not in in_place:
                return Bring(group)
    for group, count in wanted.items():
        old = [m for m in machines if m.process_group == group and m.release != release]
        new = [m for m in machines if m.process_group == group and m.release == release]
        if old and len(old) + len(new) > count:
            return Retire(old[0].id)
        if old and (group in in_place or old[0].config.mounts):
            return Remake(old[0].id, group)
        if len(new) < count:
            return Bring(group)
        if old:
            return Retire(old[0].id)
    stray = [m for m in machines if m.process_group not in wanted and m.release not in (0, release)]
    return Retire(stray[0].id) if stray else None
