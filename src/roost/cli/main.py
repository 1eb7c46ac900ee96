"""The entry point: all the commands, and the one place where an error becomes an exit code.

Modules that a command needs are imported when it runs, so that `roost --help` is quick.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from roost import __version__
from roost.cli import (
    admin,
    apps,
    audit,
    auth,
    autoscale,
    certs,
    checks,
    cloud,
    config,
    console,
    context,
    deploy,
    edge,
    image,
    launch,
    login,
    logs,
    machine_look,
    metrics,
    network,
    operations,
    orgs,
    proxy,
    scale,
    secrets,
    ssh,
    tokens,
    volumes,
)
from roost.cli.exits import FAILED, INTERRUPTED, OK, USAGE, exit_code
from roost.cli.output import note, say, show_error
from roost.model.errors import RoostError


class RoostGroup(TyperGroup):
    """The command `roost`: runs a command and ends the process with a documented exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run; never returns. `standalone_mode` is ignored: an error always becomes an exit code."""
        options["standalone_mode"] = False
        sys.exit(self._run(*args, **options))

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for; Ctrl-C ends it with a word, where the library would say none."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            note("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    def _run(self, *args: Any, **options: Any) -> int:
        try:
            code = super().main(*args, **options)
            sys.stdout.flush()
        except RoostError as error:
            show_error(error)
            return exit_code(error)
        except typer.TyperException as error:
            return _usage(error)
        except typer.Abort:
            note("interrupted")
            return INTERRUPTED
        except BrokenPipeError:  # the reader (`| head`) has seen enough
            sys.stdout = None
            return FAILED
        return code if isinstance(code, int) else OK


def _usage(error: typer.TyperException) -> int:
    text = error.format_message()
    if text.startswith("Usage:"):
        say(text)
        return USAGE
    context = getattr(error, "ctx", None)
    note(f"error: {text}")
    if context is not None:
        note(f"hint: {context.command_path} --help")
    return error.exit_code


app = typer.Typer(
    name="roost",
    cls=RoostGroup,
    rich_markup_mode=None,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 not found, 4 not logged in, 5 deploy rolled back, "
    "124 timed out, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"roost {__version__}")
        raise typer.Exit(0)


@app.callback(invoke_without_command=True)
def roost(
    ctx: typer.Context,
    home: context.HomeOption = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """A developer cloud on your own Linux servers."""
    del version
    if home is not None:
        context.set_home(Path(home))
    if ctx.invoked_subcommand is None:
        say(ctx.get_help())


@app.command("version", epilog="Example: roost version")
def print_version() -> None:
    """Print the version of this program."""
    _version(True)


for module in (launch, deploy, cloud, logs, login, proxy, audit, console, metrics):
    module.register(app)
for name, group in (
    ("apps", apps.group),
    ("machine", machine_look.group),
    ("volumes", volumes.group),
    ("network", network.group),
    ("ips", network.ips),
    ("ssh", ssh.group),
    ("secrets", secrets.group),
    ("scale", scale.group),
    ("autoscale", autoscale.group),
    ("checks", checks.group),
    ("config", config.group),
    ("image", image.group),
    ("operations", operations.group),
    ("certs", certs.group),
    ("admin", admin.group),
    ("edge", edge.group),
    ("orgs", orgs.group),
    ("tokens", tokens.group),
    ("auth", auth.group),
):
    app.add_typer(group, name=name)


def interrupt(_number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; a little later where Python is importing, which may lose it in a callback."""
    if frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        signal.setitimer(signal.ITIMER_REAL, 0.02)
    else:
        raise KeyboardInterrupt


def main() -> None:
    """Run the command line and exit."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else who started this wants it ignored
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGALRM, interrupt)
    app(prog_name="roost")


if __name__ == "__main__":
    main()
