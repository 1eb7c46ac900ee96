"""The `.internal` names of a private network: what a name asks for, and which machines answer it. Pure.

The forms are those of the Fly Machines API (reference, section 4). Only started machines are listed, except where a
name says `all.`; a machine with `dns.skip_registration` is listed nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from roost.model.machine import Machine, MachineState

ZONE = "internal"
PRIVATE_ZONE = "flycast"
_NEAREST = re.compile(r"top(\d{1,3})")


class Asked(StrEnum):
    """What a name is about."""

    APP = "app"  # the app's machines
    NEAREST = "nearest"  # the first so many of them
    MACHINE = "machine"
    REGION = "region"
    GROUP = "group"
    METADATA = "metadata"
    REGIONS = "regions"  # text
    MACHINES = "machines"  # text
    APPS = "apps"  # text
    INSTANCES = "instances"  # text
    PRIVATE = "private"  # the app's address in its private network, at which the edge answers
    PEERS = "peers"  # text; a cloud of one server has no WireGuard peers


TEXTS = frozenset({Asked.REGIONS, Asked.MACHINES, Asked.APPS, Asked.INSTANCES, Asked.PEERS})


@dataclass(frozen=True, slots=True)
class Question:
    """A name, understood. `app` is "" where it is about the whole network; `all` also counts machines that rest."""

    about: Asked
    app: str = ""
    value: str = ""
    key: str = ""
    all: bool = False


def understand(name: str) -> Question | None:
    """Return what `name` asks for, or None when no such name can exist; any case, with or without the final dot."""
    labels = name.lower().rstrip(".").split(".")
    if len(labels) == 2 and labels[1] == PRIVATE_ZONE and labels[0]:
        return Question(Asked.PRIVATE, labels[0])
    if labels[-1] != ZONE or not all(labels):
        return None
    match labels[:-1]:
        case ["_apps"]:
            return Question(Asked.APPS)
        case ["_peer"]:
            return Question(Asked.PEERS)
        case ["_instances"]:
            return Question(Asked.INSTANCES)
        case ["all", "_instances"]:
            return Question(Asked.INSTANCES, all=True)
        case [*value, key, "kv", "_metadata", app] if value:
            return Question(Asked.METADATA, app, value=".".join(value), key=key)
        case [top, "nearest", "of", app] if found := _NEAREST.fullmatch(top):
            return Question(Asked.NEAREST, app, value=found[1])
        case [machine_id, "vm", app]:
            return Question(Asked.MACHINE, app, value=machine_id)
        case [group, "process", app]:
            return Question(Asked.GROUP, app, value=group)
        case ["all", "vms", app]:
            return Question(Asked.MACHINES, app, all=True)
        case ["all", "regions", app]:
            return Question(Asked.REGIONS, app, all=True)
        case ["vms", app]:
            return Question(Asked.MACHINES, app)
        case ["regions", app]:
            return Question(Asked.REGIONS, app)
        case ["global", app] | [app]:
            return None if app.startswith("_") else Question(Asked.APP, app)
        case [region, app]:
            return Question(Asked.REGION, app, value=region)
    return None


def listed(question: Question, machines: Sequence[Machine]) -> list[Machine]:
    """Return those of an app's (or a network's) machines that the question is about, oldest first."""
    known = [
        machine
        for machine in sorted(machines, key=lambda m: (m.created_at, m.id))
        if (question.all or machine.state is MachineState.STARTED) and not machine.config.dns.skip_registration
    ]
    match question.about:
        case Asked.MACHINE:
            return [machine for machine in known if machine.id == question.value]
        case Asked.REGION:
            return [machine for machine in known if machine.region == question.value]
        case Asked.GROUP:
            return [machine for machine in known if machine.process_group == question.value]
        case Asked.METADATA:
            return [machine for machine in known if _has(machine, question.key, question.value)]
        case Asked.NEAREST:
            return known[: int(question.value)]
    return known


def _has(machine: Machine, key: str, value: str) -> bool:
    """Names know no case, so neither does the comparison."""
    return any(k.lower() == key and v.lower() == value for k, v in machine.config.metadata.items())


def text(question: Question, machines: Sequence[Machine], apps: Sequence[str]) -> str:
    """Return the text that answers a question of `TEXTS`: from the `listed` machines, and the apps of the network."""
    match question.about:
        case Asked.REGIONS:
            return ",".join(sorted({machine.region for machine in machines}))
        case Asked.MACHINES:
            return ",".join(f"{machine.id} {machine.region}" for machine in machines)
        case Asked.INSTANCES:
            return ";".join(f"instance={m.id},app={m.app},ip={m.private_ip},region={m.region}" for m in machines)
        case Asked.APPS:
            return ",".join(sorted(apps))
    return ""
