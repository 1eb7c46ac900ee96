"""`roost auth`: who one is to the cloud."""

from __future__ import annotations

import typer

from roost.cli import context, login, output

group = typer.Typer(
    help="Who you are to the cloud: whoami, login, logout.", rich_markup_mode=None, no_args_is_help=True
)


@group.command(epilog="Example: roost auth whoami")
def whoami(as_json: context.JsonOption = False) -> None:
    """Show whose the token in use is. Its orgs and roles too, and what it is limited to."""
    with context.client() as client:
        found = client.token()
        address = client.base_url
    if as_json:
        output.say_json(found)
        return
    first = found[0] if found else {}
    pairs = [("cloud", address), ("user", first.get("user")), ("token", first.get("token_id"))]
    for entry in found:
        where = "the whole cloud" if entry.get("cloud") else entry.get("org_slug")
        pairs.append(("role", f"{entry.get('role')} in {where}"))
    pairs.append(("apps", ", ".join(first.get("apps") or ())))
    pairs.append(("machine", first.get("restricted_to_machine")))
    pairs.append(("actions", ", ".join(first.get("actions") or ())))
    pairs.append(("from", ", ".join(first.get("source_addresses") or ())))
    pairs.append(("until", first.get("expires_at")))
    output.say(output.fields(pairs))


group.command("login", epilog="Example: roost auth login https://cloud.example:4280 < token.txt")(login.login)
group.command("logout", epilog="Example: roost auth logout")(login.logout)
