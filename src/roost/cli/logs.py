"""`roost logs`, of machines and of requests, and `roost open`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from roost.cli import context, output, requests
from roost.model.config_reading import parse_duration
from roost.model.errors import BadInput


def logs(
    app: context.AppOption = "",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines.")] = False,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Only the last TIME, like 10m.")] = "",
    machine: Annotated[str, typer.Option("--machine", metavar="ID", help="Only this machine.")] = "",
    limit: Annotated[int, typer.Option("-n", "--limit", metavar="N", min=1, help="How many old lines.")] = 100,
    http: Annotated[
        bool, typer.Option("--http", help="Requests that the edge served, not what machines wrote.")
    ] = False,
    status: Annotated[str, typer.Option("--status", metavar="5xx", help="With --http: only such answers.")] = "",
    path: Annotated[str, typer.Option("--path", metavar="PREFIX", help="With --http: only such paths.")] = "",
    slow: Annotated[float, typer.Option("--slow", metavar="MS", min=0, help="With --http: at least so long.")] = 0.0,
    errors: Annotated[bool, typer.Option("--errors", help="With --http: only what went wrong.")] = False,
    as_json: context.JsonOption = False,
) -> None:
    """Show what the app's machines wrote. With --http, who called it and how long what took."""
    name = context.app_name(app)
    after = time.time() - parse_duration(since, "--since") if since else 0.0
    if status and not re.fullmatch("[1-5](xx|[0-9]{2})", status):
        raise BadInput(f"--status must be a status or a class of them, not {status[:40]!r}", hint="like 404 or 5xx")
    if http:
        wanted = {"status": status, "path": path, "slow": slow, "errors": errors, "machine": machine, "since": after}
        requests.show(name, wanted, limit=limit, follow=follow, as_json=as_json)
        return
    if status or path or slow or errors:
        raise BadInput("--status, --path, --slow and --errors are about requests", hint="add --http")
    with context.client() as client:
        read, line = client.logs.follow if follow else client.logs.read, None
        for line in read(name, machine=machine, since=after, limit=limit):
            output.say(json.dumps(line) if as_json else render(line))
    if line is None and not follow:
        output.note("There are no lines." if since or machine else f"{name} has logged nothing yet.")


def render(line: Mapping[str, Any]) -> str:
    """Return a log line as text: time, machine (and container), message; colours that the app wrote are kept. Pure."""
    at = output.printable(str(line.get("timestamp", "")))
    where = output.printable(str(line.get("machine") or line.get("source") or ""))
    if line.get("container"):
        where += f"/{output.printable(str(line['container']))}"
    return f"{at} {where} {output.printable(str(line.get('message', '')), colours=True)}"


def open_app(
    app: context.AppOption = "",
    show: Annotated[bool, typer.Option("--print", help="Print the address, open nothing.")] = False,
) -> None:
    """Open the app in the browser."""
    import webbrowser

    with context.client() as client:
        url = client.apps.status(context.app_name(app))["url"]
    output.say(url)
    if not show:
        webbrowser.open(url)


def register(app: typer.Typer) -> None:
    """Add the commands to `roost`."""
    app.command(epilog="Example: roost logs -a shop -f --since 10m")(logs)
    app.command("open", epilog="Example: roost open -a shop")(open_app)
