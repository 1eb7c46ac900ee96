"""`roost login` and `roost logout`: a token for a cloud that runs elsewhere."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from roost.cli import context, output, prompts
from roost.model.errors import BadInput, Unauthorized


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="The API's address.")],
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow http:// over a network.")] = False,
) -> None:
    """Store a token for the cloud at URL. It is asked for without echo, or read from standard input."""
    from roost.sdk import Client
    from roost.sdk.transport import check_base_url, is_loopback

    address = check_base_url(url)
    if address.startswith("http://") and not is_loopback(address) and not insecure:
        raise BadInput(
            f"{address} would send the token in clear text", hint="use https://, or accept that with --insecure"
        )
    token = _read_token()
    with Client(address, token) as client:
        try:
            who = client.token()
        except Unauthorized:
            raise Unauthorized(
                f"the cloud at {address} does not know this token, or it has expired",
                hint="`roost up` printed one; `roost tokens create NAME --cloud`, on its server, makes another",
            ) from None
    path = context.store(context.Credentials(address, token))
    user = str((who[0] if who else {}).get("user", "") or "")
    output.say(f"Logged in to {address}{f' as {user}' if user else ''}; stored in {path}")


def _read_token() -> str:
    if prompts.interactive():
        import getpass

        token = getpass.getpass("Token: ", stream=sys.stderr)
    else:
        token = sys.stdin.readline()
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise BadInput("no token was given", hint="paste it, or pipe it in: roost login URL < token.txt")
    return token


def logout() -> None:
    """Forget the stored token."""
    output.say("Logged out." if context.forget() else "You were not logged in.")


def register(app: typer.Typer) -> None:
    """Add the commands to `roost`."""
    app.command(epilog="Example: roost login https://cloud.example:4280 < token.txt")(login)
    app.command(epilog="Example: roost logout")(logout)
