"""`[[autoscale]]` of `roost.toml`: process groups whose number of machines follows their load. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from roost.model.app_config import AppConfig
from roost.model.app_config_table import Table
from roost.model.autoscale import AutoscalePolicy, check_policy, policy_to_json, read_policy


def read_autoscale(top: Table, processes: Collection[str]) -> dict[str, AutoscalePolicy]:
    """Read the array; a policy that names no group is that of the only one. Raises BadInput that names the key."""
    found: dict[str, AutoscalePolicy] = {}
    for table in top.tables("autoscale", "autoscale"):
        groups = table.words("processes")
        if not groups and len(processes) > 1:
            raise table.refuse("processes", "must say which of the process groups it is for", 'processes = ["..."]')
        policy = read_policy(table)
        for group in groups or tuple(processes) or ("",):
            if group in found:
                raise table.refuse("processes", f"gives the process group {group[:40]!r} a second policy")
            found[group] = policy
        table.done()
    return found


def check_autoscale(config: AppConfig, top: Table) -> None:
    """Refuse policies that do not fit their groups."""
    only = len(config.processes) < 2
    for group, policy in config.autoscale.items():
        served = any(group in groups or (not groups and (only or group == "app")) for groups, _ in config.services)
        volume = any(group in groups or (not groups and (only or served)) for groups, _ in config.mounts)
        scheduled = group in config.schedules or "" in config.schedules
        key, why = check_policy(policy, serves=served, volume=volume, scheduled=scheduled)
        if why:
            raise top.refuse(f"autoscale.{key}", why)
        for signal in policy.signals:
            if signal.of and signal.of not in (tuple(config.processes) or ("app",)):
                raise top.refuse("autoscale.metrics.of", f"names the process group {signal.of[:40]!r}, which is none")


def autoscale_to_json(policies: Mapping[str, AutoscalePolicy]) -> list[dict[str, Any]]:
    """Return what `read_autoscale` reads."""
    return [policy_to_json(policy) | ({"processes": [group]} if group else {}) for group, policy in policies.items()]
