"""`[[schedules]]` of `roost.toml`: process groups whose machines run at times instead of all the time. Pure."""

from __future__ import annotations

from collections.abc import Collection

from roost.model.app_config import AppConfig
from roost.model.app_config_table import Table
from roost.model.schedule import Schedule, check_expression, check_zone

_HINT = 'use hourly, daily, weekly, monthly, or a cron expression like "30 2 * * mon-fri"'


def read_schedules(top: Table, processes: Collection[str]) -> dict[str, Schedule]:
    """Read the array; a schedule that names no group is that of the only one. Raises BadInput that names the key."""
    found: dict[str, Schedule] = {}
    for table in top.tables("schedules", "schedules"):
        expression, zone = " ".join(table.text("schedule").split()), table.text("timezone") or "UTC"
        if problem := check_expression(expression) if expression else "is missing":
            raise table.refuse("schedule", problem, _HINT)
        if problem := check_zone(zone):
            raise table.refuse("timezone", problem, "use a name like Europe/Berlin, or UTC")
        groups = table.words("processes")
        if not groups and len(processes) > 1:
            raise table.refuse("processes", "must say which of the process groups it is for", 'processes = ["..."]')
        for group in groups or tuple(processes) or ("",):
            if group in found:
                raise table.refuse("processes", f"gives the process group {group[:40]!r} a second schedule")
            found[group] = Schedule(expression, zone)
        table.done()
    return found


def check_schedules(config: AppConfig, top: Table) -> None:
    """Refuse groups that run at times and are to serve requests, or to run for ever."""
    for group in config.schedules:
        for index, (groups, _) in enumerate(config.services):
            if group in groups or (not groups and (group in ("", "app") or len(config.processes) < 2)):
                section = "http_service" if index == 0 else "services"
                whose = group or "the only process group"
                raise top.refuse(
                    section,
                    f"is for {whose}, which runs at times ([[schedules]]) and serves nothing",
                    "give it processes of its own",
                )
        restart = config.restarts.get(group, config.restarts.get(""))
        if restart is not None and restart.policy == "always":
            raise top.refuse("restart", "has the policy always for a process group with a schedule", 'use "on-failure"')
