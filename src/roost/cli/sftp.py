"""`roost ssh sftp`: copies files from and to machines, lists and finds them.

What comes from a machine is hostile: a file is written under the name that the user gave or the last part of the
remote path, beside its place first, and never over what is there, nor through a link.
"""

from __future__ import annotations

import os
import posixpath
import secrets
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from roost.cli import context, output
from roost.cli.choose import started
from roost.cli.waiting import Passed, transferring
from roost.model.errors import BadInput, RoostError

if TYPE_CHECKING:
    from roost.sdk import Client

group = typer.Typer(help="Files in a machine: get, put, ls, find, shell.", rich_markup_mode=None, no_args_is_help=True)
MachineOption = Annotated[str, typer.Option("--machine", metavar="ID", help="This machine, else any.")]
_CHUNK = 65536
_HELP = "ls [PATH], cd PATH, pwd, find [PATH], get REMOTE [LOCAL], put LOCAL [REMOTE], help, exit"


@dataclass(slots=True)
class Session:
    """One machine, and the directory in it that relative paths start from."""

    client: Client
    app: str
    machine_id: str
    directory: str = "/"

    def remote(self, path: str) -> str:
        """Return an absolute path in the machine."""
        return posixpath.normpath(posixpath.join(self.directory, path))

    def get(self, remote: str, local: str = "") -> tuple[Path, int]:
        """Copy a file from the machine; returns where to and how many bytes. Raises BadInput if that is taken."""
        source = self.remote(remote)
        target = local_target(source, local)
        part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
        count = 0
        try:
            with _created(part) as descriptor, transferring(f"Copying {source}", None) as passed:
                for piece in self.client.files.read(self.app, self.machine_id, source):
                    _write_all(descriptor, piece)
                    count += len(piece)
                    passed(len(piece))
            os.link(part, target, follow_symlinks=False)  # unlike a rename, never over what is there
        except FileExistsError:
            raise BadInput(f"{target} is there already", hint="name another: roost ssh sftp get REMOTE LOCAL") from None
        except OSError as error:
            raise BadInput(f"{target} can't be written: {error.strerror}") from None
        finally:
            part.unlink(missing_ok=True)
        return target, count

    def put(self, local: str, remote: str = "") -> tuple[str, int]:
        """Copy a file to the machine, over what is there; returns where to and how many bytes."""
        source = Path(local)
        target = self.remote(remote or source.name)
        if remote.endswith("/"):
            target = self.remote(posixpath.join(remote, source.name))
        try:
            with source.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                with transferring(f"Copying {local}", size) as passed:
                    self.client.files.write(self.app, self.machine_id, target, _pieces(file, passed), size=size)
        except OSError as error:
            raise BadInput(f"{local} can't be read: {error.strerror}") from None
        return target, size

    def run(self, *command: str) -> Iterator[str]:
        """Yield the lines that a command in the machine writes."""
        rest = b""
        for piece in self.client.files.run(self.app, self.machine_id, list(command)):
            *lines, rest = (rest + piece).split(b"\n")
            yield from (output.printable(line.decode("utf-8", "replace")) for line in lines)
        if rest:
            yield output.printable(rest.decode("utf-8", "replace"))


def local_target(remote: str, local: str) -> Path:
    """Return where a file goes: `local`, or into it if it is a directory, under the remote name. Raises BadInput."""
    name = posixpath.basename(remote)
    path = Path(local or ".")
    if not local or path.is_dir():
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise BadInput(f"{remote!r} names no file", hint="name it here: roost ssh sftp get REMOTE LOCAL")
        path = path / name
    if path.is_symlink() or path.exists():
        raise BadInput(f"{path} is there already", hint="name another: roost ssh sftp get REMOTE LOCAL")
    return path


def _pieces(file: BinaryIO, passed: Passed) -> Iterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece
        passed(len(piece))


@contextmanager
def _created(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def _session(app: str, machine: str) -> Iterator[Session]:
    name = context.app_name(app)
    with context.client() as client:
        yield Session(client, name, started(client, name, machine, what="copy files from or to"))


@group.command(epilog="Example: roost ssh sftp get /var/log/app.log -a shop")
def get(
    remote: Annotated[str, typer.Argument(metavar="REMOTE", help="The file in the machine.")],
    local: Annotated[str, typer.Argument(metavar="[LOCAL]", help="Where to; here by default.")] = "",
    app: context.AppOption = "",
    machine: MachineOption = "",
) -> None:
    """Copy a file from a machine. What is there already is not overwritten."""
    with _session(app, machine) as session:
        target, count = session.get(remote, local)
    output.say(f"{target}: {output.size(count)}")


@group.command(epilog="Example: roost ssh sftp put seed.sql /data/seed.sql -a shop")
def put(
    local: Annotated[str, typer.Argument(metavar="LOCAL", help="The file here.")],
    remote: Annotated[str, typer.Argument(metavar="[REMOTE]", help="Where to; / by default.")] = "",
    app: context.AppOption = "",
    machine: MachineOption = "",
) -> None:
    """Copy a file to a machine, over what is there."""
    with _session(app, machine) as session:
        target, count = session.put(local, remote)
    output.say(f"{target}: {output.size(count)}")


@group.command(epilog="Example: roost ssh sftp ls /data -a shop")
def ls(
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="A directory or a file in the machine.")] = "/",
    app: context.AppOption = "",
    machine: MachineOption = "",
    as_json: context.JsonOption = False,
) -> None:
    """List a directory of a machine."""
    with _session(app, machine) as session:
        _show(session.run("ls", "-1Ap" if as_json else "-lAp", "--", session.remote(path)), as_json)


@group.command(epilog="Example: roost ssh sftp find /data -a shop")
def find(
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="A directory in the machine.")] = "/",
    app: context.AppOption = "",
    machine: MachineOption = "",
    as_json: context.JsonOption = False,
) -> None:
    """List a directory and all below it, on the same file system."""
    with _session(app, machine) as session:
        _show(session.run("find", session.remote(path), "-xdev"), as_json)


def _show(lines: Iterator[str], as_json: bool) -> None:
    if as_json:
        output.say_json([line for line in lines if line])
        return
    for line in lines:
        output.say(line)


@group.command(epilog="Example: roost ssh sftp shell -a shop")
def shell(app: context.AppOption = "", machine: MachineOption = "") -> None:
    """Copy files by commands that are typed, one a line."""
    with _session(app, machine) as session:
        output.note(f"machine {session.machine_id}: {_HELP}")
        for line in _typed():
            try:
                words = shlex.split(line)
                if words and words[0] in ("exit", "quit", "bye"):
                    return
                if words:
                    _obey(session, words)
            except (ValueError, TypeError) as error:
                output.note(f"error: {error}")
            except RoostError as error:
                output.show_error(error)


def _typed() -> Iterator[str]:
    prompt = "sftp> " if sys.stdin.isatty() else ""
    with suppress(EOFError):
        while True:
            yield input(prompt)


def _obey(session: Session, words: list[str]) -> None:
    """Do one command of the shell; raises TypeError for a wrong number of words."""

    def listing(path: str = ".") -> None:
        _show(session.run("ls", "-lAp", "--", session.remote(path)), False)

    def change(path: str = "/") -> None:
        place = session.remote(path)
        for line in session.run("ls", "-d", "--", place + ("" if place == "/" else "/")):
            if not line.startswith("/"):
                raise BadInput(line)
        session.directory = place

    def finding(path: str = ".") -> None:
        _show(session.run("find", session.remote(path), "-xdev"), False)

    def getting(remote: str, local: str = "") -> None:
        target, count = session.get(remote, local)
        output.say(f"{target}: {output.size(count)}")

    def putting(local: str, remote: str = "") -> None:
        target, count = session.put(local, remote)
        output.say(f"{target}: {output.size(count)}")

    verbs: dict[str, Callable[..., None]] = {
        "ls": listing, "cd": change, "pwd": lambda: output.say(session.directory), "find": finding, "get": getting,
        "put": putting, "help": lambda: output.say(_HELP),
    }  # fmt: skip
    verb = verbs.get(words[0])
    if verb is None:
        raise BadInput(f"{words[0][:40]!r} is no command here", hint=_HELP)
    try:
        verb(*words[1:])
    except TypeError:
        raise BadInput(f"{words[0]} takes other words", hint=_HELP) from None
