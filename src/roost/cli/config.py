"""`roost config`: the app's configuration, as it is deployed and as it stands in roost.toml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roost.cli import config_file, context, output
from roost.model.errors import BadInput, NotFound

if TYPE_CHECKING:
    from roost.model.app_config import AppConfig
    from roost.sdk import Client

group = typer.Typer(help="The app's configuration: show, validate, save.", rich_markup_mode=None, no_args_is_help=True)
Directory = Annotated[str, typer.Argument(metavar="[DIR]", help="Where roost.toml is; here by default.")]


@group.command(epilog="Example: roost config show -a shop")
def show(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """Show the configuration of the release that runs."""
    from roost.model.app_config_write import write_app_config

    with context.client() as client:
        found = _deployed(client, context.app_name(app))
    if as_json:
        output.say_json(found)
    else:
        output.say(write_app_config(_read(found)).rstrip("\n"))


@group.command(epilog="Example: roost config validate ./shop")
def validate(directory: Directory = ".", as_json: context.JsonOption = False) -> None:
    """Check roost.toml (or fly.toml), without a cloud. What is wrong is named with its line."""
    found = config_file.load(Path(directory))
    if found is None:
        raise NotFound(f"there is no roost.toml in {directory}", hint="roost config save makes one")
    if as_json:
        output.say_json(found.config)
    elif found.warnings:
        output.say(f"{found.path} can be deployed; warnings: {found.warnings}")
    else:
        output.say(f"{found.path} is right")


@group.command(epilog="Example: roost config save -a shop")
def save(
    directory: Directory = ".",
    app: context.AppOption = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Also over a file that is there.")] = False,
) -> None:
    """Write the configuration of the release that runs into roost.toml."""
    from roost.model.app_config_write import write_app_config

    place = Path(directory)
    name = context.app_name(app, place)
    with context.client() as client:
        text = write_app_config(_read(_deployed(client, name) | {"app": name}))
    path = place / "roost.toml"
    if yes and path.is_file() and not path.is_symlink():
        path.unlink()
    elif path.exists() or path.is_symlink():
        raise BadInput(f"{path} is there already", hint="--yes replaces it")
    output.say(f"{config_file.write(place, {'toml': text})} is written")


def _deployed(client: Client, app: str) -> dict[str, Any]:
    """Return the configuration of the newest release that is complete; raises NotFound."""
    for release in client.releases.list(app):
        if release.get("status") == "complete":
            return dict(release.get("config") or {})
    raise NotFound(f"{app} has no release", hint=f"roost deploy -a {app}")


def _read(data: dict[str, Any]) -> AppConfig:
    from roost.model.app_config_read import app_config_from_json

    return app_config_from_json(data)
