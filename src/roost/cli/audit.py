"""`roost audit`: who changed what."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from roost.cli import context, output
from roost.model.config_reading import parse_duration


def audit(
    app: Annotated[str, typer.Option("-a", "--app", metavar="APP", help="Only about this app.")] = "",
    org: Annotated[str, typer.Option("--org", metavar="ORG", help="Only about this org.")] = "",
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Only the last TIME, like 10m.")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most so many.")] = 50,
    as_json: context.JsonOption = False,
) -> None:
    """Show who changed or tried to change what, newest first."""
    after = ""
    if since:
        after = datetime.fromtimestamp(time.time() - parse_duration(since, "--since"), UTC).isoformat()
    with context.client() as client:
        entries = client.audit.entries(app=app, org=org, since=after, page=min(limit, 1000))
        found = list(islice(entries, limit))
    if as_json:
        output.say_json(found)
        return
    header = ("when", "who", "what", "on", "from", "result")
    output.say(output.table(header, (_row(entry) for entry in found)))


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    subject: dict[str, str] = entry.get("subject") or {}
    return (
        output.since(entry.get("at")),
        entry.get("user") or entry.get("who"),
        entry.get("action"),
        " ".join(subject.values()),
        entry.get("source_address"),
        f"{entry.get('result')} {entry.get('status')}",
    )


def register(app: typer.Typer) -> None:
    """Add the command to `roost`."""
    app.command(epilog="Example: roost audit -a shop --since 1h")(audit)
