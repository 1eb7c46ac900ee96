"""Network policies of an app: which connections its machines take and make, said by allow rules. Pure.

A policy selects machines and allows connections in a direction. A machine that some policy selects for a direction
has in that direction what the rules of all such policies allow together, and nothing else; the other direction is
left as it is. What comes through the edge is no direct connection, and passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from roost.model.config_reading import Reader
from roost.model.errors import BadInput, NotFound
from roost.model.names import check_machine_id

MAX_POLICIES = 50  # of an app
MAX_RULES = 50  # of a policy
MAX_PORTS = 100  # of a rule
MAX_MACHINES = 1000  # named by a selector
PROTOCOLS = ("tcp", "udp")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_ID = re.compile(r"np_[0-9a-f]{16}")


class Direction(StrEnum):
    """Which end of a connection the selected machines are: the one that is called, or the one that calls."""

    INGRESS = "ingress"
    EGRESS = "egress"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port that may be connected to."""

    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed in a direction: some ports, or without any everything."""

    direction: Direction
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Selector:
    """Which machines of the app: all, those named, those with all of this metadata; of what is given all must hold."""

    all: bool = False
    machines: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """A named set of allow rules for some machines of an app."""

    id: str
    app: str
    name: str
    selector: Selector
    rules: tuple[Rule, ...]
    created_at: float


@dataclass(frozen=True, slots=True)
class Filter:
    """What one machine may do with others: the ports it takes, and the ones it calls; None is no limit."""

    ingress: frozenset[Port] | None = None
    egress: frozenset[Port] | None = None


NO_FILTER = Filter()


def policy_id(entropy: bytes) -> str:
    """Spell a policy's id from 8 random bytes."""
    if len(entropy) != 8:
        raise ValueError("a policy's id takes 8 bytes")
    return f"np_{entropy.hex()}"


def check_policy_id(text: str) -> str:
    """Return `text` if it can be a policy's id, else raise NotFound."""
    if not _ID.fullmatch(text):
        raise NotFound("network policy not found", hint="`roost network policies list` shows them")
    return text


def check_policy_name(name: str) -> str:
    """Return `name` if it can name a policy; raises BadInput."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"name: {name[:80]!r} can't be a network policy's name",
            hint="use 1 to 63 letters, digits, hyphens, dots and underscores",
        )
    return name


def read_selector(data: object, where: str = "selector") -> Selector:
    """Return a selector from its JSON form; raises BadInput that names the key."""
    reader = Reader(data, where)
    everything = reader.flag("all", False)
    machines = reader.items("machines", _read_machine)
    metadata = reader.strings("metadata")
    reader.done()
    if not (everything or machines or metadata):
        raise BadInput(
            f"{where} must have one of all, machines and metadata", hint='for all of the app\'s machines: {"all": true}'
        )
    if len(machines) > MAX_MACHINES or len(metadata) > MAX_MACHINES:
        raise BadInput(f"{where} names more than {MAX_MACHINES} machines or metadata", hint="make several policies")
    return Selector(everything, machines, metadata)


def _read_machine(data: object, where: str) -> str:
    """Return a machine's id, given as text or as an object with it."""
    if isinstance(data, Mapping):
        reader = Reader(data, where)
        data = reader.text("id")
        reader.done()
    if not isinstance(data, str):
        raise BadInput(f'{where} must be {{"id": MACHINE}}')
    return check_machine_id(data)


def read_rules(data: object, where: str = "rules") -> tuple[Rule, ...]:
    """Return rules from their JSON form, a list; raises BadInput that names the key."""
    if not isinstance(data, list) or not 0 < len(data) <= MAX_RULES:
        raise BadInput(f"{where} must be a list of 1 to {MAX_RULES} rules")
    return tuple(_read_rule(item, f"{where}[{index}]") for index, item in enumerate(data))


def _read_rule(data: object, where: str) -> Rule:
    reader = Reader(data, where)
    if reader.text("action", "allow") != "allow":
        raise BadInput(
            f"{where}.action must be allow: what no rule allows is refused",
            hint="a machine that a policy selects for a direction has there what rules allow, and no more",
        )
    direction = reader.text("direction", among=tuple(Direction))
    if not direction:
        raise BadInput(f"{where}.direction is missing", hint="ingress or egress")
    ports = reader.items("ports", _read_port)
    reader.done()
    if len(ports) > MAX_PORTS:
        raise BadInput(f"{where}.ports has more than {MAX_PORTS} entries", hint="make several rules")
    return Rule(Direction(direction), ports)


def _read_port(data: object, where: str) -> Port:
    reader = Reader(data, where)
    protocol = reader.text("protocol", "tcp", among=PROTOCOLS)
    port = reader.number("port", 0, 1, 65_535)
    reader.done()
    if not port:
        raise BadInput(f"{where}.port is missing", hint="a rule without `ports` allows all of them")
    return Port(protocol, port)


def selector_to_json(selector: Selector) -> dict[str, Any]:
    """Return the JSON form of a selector."""
    found: dict[str, Any] = {"all": True} if selector.all else {}
    if selector.machines:
        found["machines"] = [{"id": machine_id} for machine_id in selector.machines]
    return found | ({"metadata": dict(selector.metadata)} if selector.metadata else {})


def rules_to_json(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Return the JSON form of rules."""
    return [
        {
            "action": "allow",
            "direction": rule.direction.value,
            "ports": [{"protocol": port.protocol, "port": port.port} for port in rule.ports],
        }
        for rule in rules
    ]
