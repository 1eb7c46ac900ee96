"""`roost deploy`, `releases`, `rollback`: bringing a release to an app's machines."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roost.cli import config_file, context, output, progress
from roost.cli.assignments import read_values, split_pair
from roost.cli.launch import Directory, source_directory, upload
from roost.model.errors import BadInput, NotFound, RoostError
from roost.model.operation import OperationState, one_at_a_time

if TYPE_CHECKING:
    from roost.sdk import Client
    from roost.sdk.shapes import Operation

Detach = Annotated[bool, typer.Option("--detach", help="Don't wait; print the operation's id.")]


def deploy(
    directory: Directory = Path(),
    app: context.AppOption = "",
    image: Annotated[str, typer.Option("--image", metavar="REF", help="Deploy an image, build nothing.")] = "",
    build_arg: Annotated[list[str] | None, typer.Option("--build-arg", metavar="K=V", help="For the build.")] = None,
    build_secret: Annotated[
        list[str] | None,
        typer.Option("--build-secret", metavar="K", help="K from the environment, K=@FILE, K=- (stdin) or K=V."),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Build everything anew.")] = False,
    detach: Detach = False,
) -> None:
    """Replace the running release without downtime. Builds the source in DIR first."""
    source_directory(directory)
    name = context.app_name(app, directory)
    found = config_file.load(directory, app=name)
    config = found.config if found else None
    arguments = dict(split_pair(word, "a build argument") for word in build_arg or ())
    hidden = read_values(build_secret or (), "a build secret", environment=context.variable)
    with context.client() as client:
        try:
            client.apps.get(name)
        except NotFound as error:
            raise NotFound(
                error.message, hint=f"roost launch {directory} makes it; roost apps list shows all"
            ) from None
        _refuse_second(client, name)
        image = image or _image_of(config or {})
        operation = client.deploys.start(
            name,
            source="" if image else upload(client, directory, config),
            image=image,
            config=config,
            build_args=arguments,
            build_secrets=hidden,
            no_cache=no_cache,
        )
        _finish(client, name, operation, detach=detach)


def _refuse_second(client: Client, name: str) -> None:
    """Raise Conflict before anything is uploaded, if something is under way already; the server asks again."""
    known: list[Operation] = []
    with suppress(RoostError):
        known = client.operations.list(app=name)
    for other in known:
        if other.get("state") == OperationState.RUNNING:
            raise one_at_a_time(str(other.get("kind")), name, other["id"])


def _image_of(config: dict[str, object]) -> str:
    build = config.get("build")
    return str(build.get("image") or "") if isinstance(build, dict) else ""


def _finish(client: Client, name: str, operation: Operation, *, detach: bool) -> None:
    if detach:
        output.say(operation["id"])
        output.note(f"follow it with: roost operations show {operation['id']} --follow")
        return
    progress.follow(client, operation)
    status = client.apps.status(name)
    release = status.get("release") or {}
    places = status.get("serves") or []
    output.say(f"{name} runs v{release.get('version', '?')}" + (":" if places else ", and serves no requests"))
    for place in places:
        output.say(place)


def releases(app: context.AppOption = "", as_json: context.JsonOption = False) -> None:
    """List the app's releases, newest first."""
    with context.client() as client:
        found = client.releases.list(context.app_name(app))
    if as_json:
        output.say_json(found)
        return
    rows = (
        (f"v{r.get('version')}", r.get("status"), r.get("image"), output.since(r.get("created_at")), r.get("reason"))
        for r in found
    )
    output.say(output.table(("version", "status", "image", "made", "why"), rows))


def rollback(
    version: Annotated[
        str, typer.Argument(metavar="[VERSION]", help="The release, like v3; else the one before.")
    ] = "",
    app: context.AppOption = "",
    detach: Detach = False,
) -> None:
    """Deploy an earlier release again. Its image is still here, so nothing is built."""
    digits = version.removeprefix("v")
    if version and not (digits.isascii() and digits.isdigit() and int(digits) > 0):
        raise BadInput(f"{version!r} is not a release's version", hint="roost releases lists them")
    name = context.app_name(app)
    with context.client() as client:
        _finish(client, name, client.releases.rollback(name, int(digits or 0)), detach=detach)


def register(app: typer.Typer) -> None:
    """Add the commands to `roost`."""
    app.command(epilog="Example: roost deploy ./shop --build-secret NPM_TOKEN")(deploy)
    app.command(epilog="Example: roost releases -a shop")(releases)
    app.command(epilog="Example: roost rollback v3 -a shop")(rollback)
