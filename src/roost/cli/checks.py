"""`roost checks`: what the health checks of an app's machines found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import typer

from roost.cli import context, output

group = typer.Typer(help="Health checks of an app's machines: list.", rich_markup_mode=None, no_args_is_help=True)


@group.command("list", epilog="Example: roost checks list -a shop")
def list_checks(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show what each check of each machine that runs found last."""
    with context.client() as client:
        machines = client.machines.list(context.app_name(app))
    found = [
        {"machine": machine["id"], "machine_state": machine.get("state"), **check}
        for machine in machines
        for check in machine.get("checks") or ()
    ]
    if as_json:
        output.say_json(found)
        return
    rows = (
        (c["machine"], c["machine_state"], c["name"], c["status"], output.since(c.get("updated_at")), _line(c))
        for c in found
    )
    output.say(output.table(("machine", "state", "check", "status", "last", "output"), rows))
    if not found:
        output.note("No machine of it has been checked: [[http_service.checks]] in roost.toml, and it must run.")


def counted(machine: Mapping[str, Any]) -> str:
    """Return how many of a machine's checks are how, like `1 critical, 2 passing`. Pure."""
    counts = Counter(str(check.get("status")) for check in machine.get("checks") or ())
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def _line(check: Mapping[str, Any]) -> str:
    return " ".join(str(check.get("output") or "").split())
