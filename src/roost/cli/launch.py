"""`roost launch`: from a source directory to an app on the internet.

Upload, ask what it is, show that, make the app, write `roost.toml`, deploy. Until the deploy has begun,
an error or Ctrl-C takes back what this run made (the app and the file); from then on the app stays, and
`roost deploy` tries again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roost.cli import config_file, context, output, plan_text, progress, prompts
from roost.cli.waiting import transferring
from roost.model.errors import BadInput, NameTaken, NotFound, RoostError, Unprocessable
from roost.model.names import check_app_name, suggest_app_name

if TYPE_CHECKING:
    from roost.sdk import Client

Directory = Annotated[Path, typer.Argument(metavar="[DIR]", help="The source directory.", show_default=False)]


def launch(
    directory: Directory = Path(),
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The app's name, if not the directory's.")] = "",
    yes: context.YesOption = False,
    no_deploy: Annotated[bool, typer.Option("--no-deploy", help="Make the app, deploy nothing yet.")] = False,
) -> None:
    """Put the app in DIR on the internet. Finds out what it is, shows the plan, builds it and starts it."""
    written = config_file.load(directory)
    config = dict(written.config) if written else None
    app = _choose_name(name, config, directory)
    with context.client() as client:
        source = upload(client, directory, config)
        answer = client.sources.plan(source, config=config, name=app)
        _show(client, app, answer, directory, written.path if written else None)
        prompts.confirm("Go on?", yes=yes, default=True)
        operation_id = _create(client, app, answer, directory, source, written=written, deploy=not no_deploy)
        if not operation_id:
            output.say(f"{app} is made. Deploy it with: roost deploy {directory}")
            return
        try:
            progress.follow(client, client.operations.get(operation_id))
        except RoostError as error:
            stays = f"{app} stays: roost deploy {directory} -a {app} tries again, roost apps destroy {app} removes it"
            error.hint = "; ".join(filter(None, (error.hint, stays)))
            raise
        places = client.apps.status(app).get("serves") or []  # by https if its certificate has come meanwhile
    if places:
        output.say(f"{app} is up:")
        output.say("\n".join(places))
    else:
        output.say(f"{app} is up, and serves no requests")


def _choose_name(flag: str, config: Mapping[str, Any] | None, directory: Path) -> str:
    if flag:
        return check_app_name(flag)
    if config and config.get("app"):
        return check_app_name(str(config["app"]))
    return suggest_app_name(directory.resolve().name)


def upload(client: Client, directory: Path, config: Mapping[str, Any] | None = None) -> str:
    """Send a source directory and return its id; says what was left out on standard error."""
    from roost.cli.source import pack, scan

    tree = scan(directory, ignorefile=str(((config or {}).get("build") or {}).get("ignorefile", "")))
    for text in tree.notes:
        output.note(f"note: {output.printable(text)}")
    output.note(f"Uploading {directory}: {tree.files} file{'' if tree.files == 1 else 's'}, {output.size(tree.bytes)}")
    with transferring("Uploading", tree.bytes) as passed:
        return client.sources.upload(pack(tree, passed))["id"]


def _show(client: Client, app: str, answer: Mapping[str, Any], directory: Path, written: Path | None) -> None:
    plan, config = answer["plan"], answer.get("config") or {}
    output.say()
    output.say("\n".join(plan_text.describe_plan(plan)))
    if not plan.get("buildable", True):
        raise Unprocessable(f"{directory} can't be built: {plan.get('obstacle', '')}", hint="a Dockerfile always works")
    output.say()
    file = written or directory / "roost.toml"
    url = app_url(client, app)
    output.say("\n".join(plan_text.describe_creation(app, url, config, config_file=str(file), writes=written is None)))
    for text in plan_text.needs_warning(plan):
        output.note(f"warning: {text}")
    own = config.get("app") if written else app
    if own and own != app:
        output.note(f"warning: {file} says app = {own!r}; name this one with -a {app}")
    output.say()


def app_url(client: Client, app: str) -> str:
    """Return where `app` will answer."""
    status = client.status()
    public = (status.get("certificate") or {}).get("status") in ("active", "pending")
    scheme, port, usual = ("https", status["https_port"], 443) if public else ("http", status.get("http_port", 80), 80)
    return f"{scheme}://{app}.{status.get('domain', 'localhost')}" + ("" if port == usual else f":{port}")


def _create(
    client: Client,
    app: str,
    answer: Mapping[str, Any],
    directory: Path,
    source: str,
    *,
    written: config_file.ConfigFile | None,
    deploy: bool,
) -> str:
    """Make the app and the file and begin the deploy; returns the operation's id ("" without one)."""
    with _undone_on_failure(client, app) as made:
        _create_app(client, app, directory, made)
        config = dict(answer.get("config") or {}) | {"app": app}
        if written is None:
            made["file"] = config_file.write(directory, {**answer, "config": config})
        operation = client.deploys.start(app, source=source, config=config) if deploy else {}
    return operation.get("id", "")


def _create_app(client: Client, app: str, directory: Path, made: dict[str, Any]) -> None:
    """Make the app; raises NameTaken. `made` holds `app` from when it may exist: False until it is known to."""
    hint = f"choose another with --name, or deploy to it: roost deploy {directory} -a {app}"
    with suppress(NotFound):  # asked first, so that an interrupted call can't be about somebody else's app
        client.apps.get(app)
        raise NameTaken(f"there is an app named {app} already", hint=hint)
    made["app"] = False
    try:
        client.apps.create(app)
    except NameTaken as error:
        del made["app"]
        raise NameTaken(error.message, hint=hint) from None
    made["app"] = True


@contextmanager
def _undone_on_failure(client: Client, app: str) -> Iterator[dict[str, Any]]:
    """Take back the app and the file that the block noted as made, if it ends with an exception."""
    made: dict[str, Any] = {}
    try:
        yield made
    except BaseException:
        if "file" in made:
            made["file"].unlink(missing_ok=True)
        if "app" in made:
            with suppress(RoostError):
                for operation in client.operations.list(app=app):
                    client.operations.cancel(operation["id"])
                client.apps.destroy(app, force=made["app"])
        raise


def register(app: typer.Typer) -> None:
    """Add the command to `roost`."""
    app.command(epilog="Example: roost launch ./shop --name shop --yes")(launch)


def source_directory(directory: Path) -> Path:
    """Return `directory` if it is one; raises BadInput."""
    if not directory.is_dir():
        raise BadInput(f"{directory} is not a directory", hint="name the directory of the app's source code")
    return directory
