"""The cloud as a whole: up, down, destroy-cloud, doctor, status.

Making and ending a cloud is the work of `python -m roost.daemon`; this process replaces itself with it,
so there is no parent that could be killed half-way. `status` asks the API, and the files if it is down.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn

import typer

from roost.cli import context, output, prompts
from roost.cli.checks import counted
from roost.cli.requests import summary_lines

HttpPort = Annotated[int | None, typer.Option("--http-port", metavar="N", min=1, max=65535, help="Port of the apps.")]
HttpsPort = Annotated[
    int | None,
    typer.Option("--https-port", metavar="N", min=0, max=65535, help="Port of the apps by TLS; 0: none."),
]
ApiPort = Annotated[int | None, typer.Option("--api-port", metavar="N", min=1, max=65535, help="Port of the API.")]
Domain = Annotated[str, typer.Option("--domain", metavar="NAME", help="Apps answer on APP.NAME.")]
Stray = Annotated[str, typer.Option("--stray", metavar="ID", help="End this cloud, whose home was removed by hand.")]
Email = Annotated[
    str | None,
    typer.Option(
        "--email",
        metavar="ADDRESS",
        help="For certificates that browsers trust: yours; with it you agree to the authority's terms.",
    ),
]
Network = Annotated[
    str,
    typer.Option(
        "--network", metavar="CIDR", help="Of a new cloud's machines: a /16 of 10.0.0.0/8; default: one that is free."
    ),
]
Foreground = Annotated[bool, typer.Option("--foreground", help="Stay in the foreground; Ctrl-C ends it.")]


STATUS_TIMEOUT = 5.0  # seconds that a roostd has to say how the cloud is; then files say what runs


def daemon_arguments(verb: str, options: Mapping[str, object]) -> list[str]:
    """Return the command line of the daemon's `verb`: flags for what is true, values for what is given. Pure."""
    argv = [sys.executable, "-m", "roost.daemon", verb]
    for name, value in options.items():
        if value is True:
            argv.append(f"--{name}")
        elif value not in (None, False, "") or (name == "email" and value == ""):
            argv += [f"--{name}", str(value)]
    return argv


def become_daemon(verb: str, options: Mapping[str, object]) -> NoReturn:
    """Turn this process into the daemon's command `verb`."""
    argv = daemon_arguments(verb, {"home": context.home_directory(), **options})
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(argv[0], argv)  # noqa: S606  (an argument list of ours, no shell)


def up(
    home: context.HomeOption = None,
    http_port: HttpPort = None,
    https_port: HttpsPort = None,
    api_port: ApiPort = None,
    domain: Domain = "",
    email: Email = None,
    network: Network = "",
    foreground: Foreground = False,
) -> None:
    """Start the cloud on this server; makes it at the first time. Does nothing if it runs."""
    if home is not None:
        context.set_home(home)
    ports = {
        "http-port": http_port,
        "https-port": None if https_port is None else str(https_port),
        "api-port": api_port,
    }
    become_daemon("up", {**ports, "domain": domain, "email": email, "network": network, "foreground": foreground})


def down(home: context.HomeOption = None) -> None:
    """Stop the cloud and keep everything. `roost up` brings it back."""
    if home is not None:
        context.set_home(home)
    become_daemon("down", {})


def destroy_cloud(home: context.HomeOption = None, yes: context.YesOption = False, stray: Stray = "") -> None:
    """Remove the cloud and all it made. Apps, data, machines, everything."""
    if home is not None:
        context.set_home(home)
    if stray:
        prompts.confirm(f"End the cloud {stray}, whose home was removed by hand?", yes=yes)
        become_daemon("destroy-cloud", {"stray": stray, "yes": True})
    directory = context.home_directory()
    prompts.confirm(f"Destroy the cloud in {directory}, with all its apps and their data?", yes=yes)
    become_daemon("destroy-cloud", {"yes": True})


def doctor(home: context.HomeOption = None, as_json: context.JsonOption = False) -> None:
    """Check whether this server can run Roost. Says what to do where it can't."""
    if home is not None:
        context.set_home(home)
    become_daemon("doctor", {"json": as_json})


def status(home: context.HomeOption = None, app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show how the cloud is, or with -a how an app is and why."""
    from roost.cli.exits import NotLoggedIn
    from roost.model.errors import TimedOut
    from roost.sdk import Unreachable

    if home is not None:
        context.set_home(home)
    if app:
        _app_status(context.app_name(app), as_json)
        return
    try:
        with context.client(patience=0.5, timeout=STATUS_TIMEOUT) as client:
            found = cloud_status(client.status(), client.base_url)
    except (Unreachable, TimedOut, NotLoggedIn):  # it is down or hangs, or its first start never ended
        if context.variable("ROOST_API_URL") or context.cloud_file() is None:
            raise
        become_daemon("status", {"json": as_json})
    if as_json:
        output.say_json(found)
    else:
        output.say(render_cloud(found))


def cloud_status(answer: Mapping[str, Any], api_url: str) -> dict[str, Any]:
    """Return the API's status in the form of `roost status --json`, the same that is made from files. Pure."""
    edge = answer.get("edge") or {}
    return {
        **{key: value for key, value in answer.items() if key not in ("pid", "started_at", "edge")},
        "state": "up",
        "api_url": api_url,
        "roostd": {"pid": answer.get("pid"), "running": True, "started_at": answer.get("started_at")},
        "envoy": {**edge, "running": bool(edge.get("pid"))},
    }


def render_cloud(found: Mapping[str, Any]) -> str:
    """Return the cloud's status as text. Pure."""
    roostd, envoy, pool = found["roostd"], found["envoy"], found.get("pool") or {}
    machines: Mapping[str, int] = found.get("machines") or {}
    counts = ", ".join(f"{count} {state}" for state, count in sorted(machines.items()) if count)
    edge = f"pid {envoy['pid']}" if envoy.get("pid") else "not running"
    if envoy.get("pid") and not envoy.get("connected", True):
        edge += ", not connected to roostd"
    if envoy.get("rejected"):
        edge += f", refused its configuration: {envoy['rejected']}"
    detail: Mapping[str, Any] = envoy.get("detail") or {}
    if detail.get("rolled_back"):
        edge += f"; its new configuration was taken back: {detail['rolled_back']}"
    for port, why in sorted((detail.get("ports") or {}).items()):
        edge += f"; port {port} is not served: {why}"
    return output.fields(
        (
            ("cloud", found.get("id")),
            ("version", found.get("version")),
            ("apps at", f"http://APP.{found.get('domain')}:{found.get('http_port')}"),
            ("https at", f"https://APP.{found.get('domain')}:{secure}" if (secure := found.get("https_port")) else ""),
            ("certificate", _certificate(found.get("certificate") or {})),
            ("API", found["api_url"]),
            ("roostd", f"pid {roostd['pid']}, up since {roostd.get('started_at') or '?'}"),
            ("envoy", edge),
            *_cells(detail),
            (
                "pool",
                f"{output.size(pool.get('used_bytes'))} of {output.size(pool.get('total_bytes'))}" if pool else "",
            ),
            ("apps", str(found.get("apps", 0))),
            ("machines", counts or "none"),
        )
    )


def _certificate(told: Mapping[str, Any]) -> str:
    """Return what is said of the certificates of the cloud's domain."""
    text = str(told.get("summary", ""))
    if told.get("trouble") and told.get("kind") != "none":
        text += f"; {told['trouble']} (roost admin domain)"
    return text


def _cells(detail: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a row for the front and for each cell, of an edge that has several."""
    parts: list[tuple[str, Mapping[str, Any]]] = [("front", detail["front"])] if detail.get("front") else []
    parts += [("front for Postgres", detail["postgres"])] if detail.get("postgres") else []
    parts += [(f"cell {cell.get('name')}", cell) for cell in detail.get("cells") or []]
    rows = []
    for name, part in parts:
        told = f"pid {part['pid']}" if part.get("pid") else "not running"
        if "routes" in part:
            told += f", {part['routes']} apps" + (f", of {part['org']}" if part.get("org") else "")
        if part.get("restarts"):
            told += f", started again {part['restarts']} time{'s' * (part['restarts'] > 1)}"
        if part.get("ended"):
            told += f"; at {part['ended']['at']} it {part['ended']['why']}"
        if part.get("trouble"):
            told += f": {part['trouble']}"
        rows.append((name, told))
    return rows


def _app_status(name: str, as_json: bool) -> None:
    with context.client() as client:
        found = client.apps.status(name)
        traffic = client.requests.summary(name)
    if as_json:
        output.say_json({**found, "requests": traffic})
        return
    release, places = found.get("release") or {}, found.get("serves") or []
    machines: Sequence[Mapping[str, Any]] = found.get("machines") or []
    output.say(
        output.fields(
            (
                ("app", name),
                ("url", found.get("url") if not machines or found.get("url") in places else ""),
                ("serves", ", ".join(place for place in places if place != found.get("url"))),
                ("state", found.get("state")),
                ("why", found.get("reason")),
                ("release", f"v{release['version']}, {release.get('status', '')}" if release else "none yet"),
                ("image", release.get("image")),
                ("last request", output.since(found.get("last_request_at"))),
            )
        )
    )
    if machines:
        output.say()
        output.say(machine_table(machines))
    if lines := list(summary_lines(traffic)):
        output.say()
        for line in lines:
            output.say(line)


def machine_table(machines: Sequence[Mapping[str, Any]]) -> str:
    """Return machines as a table, with their checks if there are any. Pure, but for the present time."""
    checked = any(machine.get("checks") for machine in machines)
    header = ("id", "name", "state", "group", "release", "address", *(("checks",) if checked else ()), "updated")
    rows = (
        (
            machine.get("id"),
            machine.get("name"),
            f"{machine.get('state')}{' (cordoned)' if machine.get('cordoned') else ''}",
            machine.get("process_group"),
            f"v{machine['release']}" if machine.get("release") else "",
            machine.get("private_ip"),
            *((counted(machine),) if checked else ()),
            output.since(machine.get("updated_at")),
        )
        for machine in machines
    )
    return output.table(header, rows)


def register(app: typer.Typer) -> None:
    """Add the commands to `roost`."""
    app.command(epilog="Example: roost up --domain apps.example.com --email ops@example.com")(up)
    app.command(epilog="Example: roost down")(down)
    app.command("destroy-cloud", epilog="Example: roost destroy-cloud --yes")(destroy_cloud)
    app.command(epilog="Example: roost doctor")(doctor)
    app.command(epilog="Example: roost status -a shop")(status)
