"""What a machine may do with others by all network policies that select it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from roost.model.machine import Machine
from roost.model.network_policy import Direction, Filter, NetworkPolicy, Port, Selector


def selects(selector: Selector, machine: Machine) -> bool:
    """Say whether a selector of the machine's app selects it."""
    if selector.machines and machine.id not in selector.machines:
        return False
    return all(machine.config.metadata.get(key) == value for key, value in selector.metadata.items())


def filter_of(machine: Machine, policies: Iterable[NetworkPolicy]) -> Filter:
    """Return what the policies of its app leave a machine; `Filter()` when they say nothing of it."""
    rules = [rule for policy in policies if selects(policy.selector, machine) for rule in policy.rules]

    def allowed(direction: Direction) -> frozenset[Port] | None:
        named = [rule.ports for rule in rules if rule.direction is direction]
        if not named or not all(named):  # nothing is said, or a rule allows everything
            return None
        return frozenset(port for ports in named for port in ports)

    return Filter(allowed(Direction.INGRESS), allowed(Direction.EGRESS))
