"""`roost admin`: what the cloud's operator does now and then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from roost.cli import context, output
from roost.cli.waiting import waiting

group = typer.Typer(help="For the cloud's operator: domain, rotate-keys.", rich_markup_mode=None, no_args_is_help=True)


@group.callback()
def admin() -> None:
    """For the cloud's operator."""


@group.command("rotate-keys", epilog="Example: roost admin rotate-keys")
def rotate_keys(as_json: context.JsonOption = False) -> None:
    """Replace the key that encrypts all others. Machines go on; back HOME/keys up again afterwards."""
    with context.client() as client, waiting("Encrypting all keys anew"):
        done = client.admin.rotate_keys()
    if as_json:
        output.say_json(done)
        return
    output.say(f"key {done['key']} is in use; {done['data_keys']} data keys were encrypted anew with it")
    output.note("Back up HOME/keys again: what was encrypted before needs the older key only in older backups.")


@group.command(epilog="Example: roost admin domain --check")
def domain(
    check: Annotated[bool, typer.Option("--check", help="Ask DNS now, and the authority again at once.")] = False,
    as_json: context.JsonOption = False,
) -> None:
    """Show the certificates of the cloud's domain. How far they are, what is wrong, what DNS needs."""
    with context.client() as client, waiting("Asking DNS about the cloud's domain"):
        found = client.admin.check_domain() if check else client.admin.domain()
    if as_json:
        output.say_json(found)
    else:
        output.say("\n".join(report_lines(found)))


def report_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the report as lines. Pure."""
    lines = [f"{found['domain']}: {found['status']}, {found['summary']}"]
    rows = [
        (
            name["hostname"],
            f"until {name['expires_at'][:10]}" if name["expires_at"] else "not yet",
            name["issuer"],
            f"{name['error']}: {name['message']}" if name["error"] else "",
        )
        for name in found["names"]
    ]
    if rows:
        lines += ["", output.table(("host name", "certificate", "by", "what went wrong last"), rows)]
    if found["new_names_per_week"]:
        lines += ["", f"{found['new_names_this_week']} of {found['new_names_per_week']} new names this week"]
    if found["dns_records"]:
        lines += ["", "DNS records:"]
        lines += [
            f"  {each['name']} {each['type']} {each['value']}   ({each['purpose']})" for each in found["dns_records"]
        ]
    if found["troubles"]:
        lines += ["", "What is wrong:"]
        lines += [
            f"  {each['message']}" + (f": {each['remediation']}" if each["remediation"] else "")
            for each in found["troubles"]
        ]
    if found["next_attempt_at"]:
        lines.append(f"  tried again at {found['next_attempt_at']}")
    return lines
