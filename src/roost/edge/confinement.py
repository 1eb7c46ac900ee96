"""Envoy reads what strangers send, so it does not run as root: a user of its own, and one capability.

Owns no state: it only spells the command. Where Envoy's binary or its sockets can't be reached by
other users (a private installation directory), Envoy runs as roostd's user, and the edge's status says so.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path

USER = 61990  # in the range that Linux systems leave to services without an account; further cells have the next 31
FRONT_USER = 61989
OPEN_FILES = 65536
_NET_RAW = 13  # capabilities(7)


def confined(
    command: Sequence[str],
    *,
    reads: Sequence[Path],
    user: int = USER,
    file_bytes: int = 0,
    variables: Sequence[str] = (),
    raw: bool = False,
) -> tuple[str, ...]:
    """Return the command that runs `command` as `user`, able to listen on ports below 1024 and nothing else.

    With `raw` it may also send with others' addresses, and so, as Linux has it, read what passes the host's links.

    It has room for all the files that it may open from the start.

    No file that it writes grows beyond `file_bytes` (0: no limit): what it writes then is lost, and it runs on.
    `variables` (NAME=VALUE) are added to its environment.
    Returns it with its file limits and variables only, if `user` can't reach one of `reads` or roostd isn't root.
    """
    prlimit, setpriv = shutil.which("prlimit"), shutil.which("setpriv")
    limits: tuple[str, ...] = (prlimit, f"--nofile={open_files()}:", "--core=0:") if prlimit else ()
    env = shutil.which("env") or "/usr/bin/env"
    if prlimit and file_bytes:  # without the second, a write beyond the limit would kill it
        limits = (*limits, f"--fsize={file_bytes}", env, "--ignore-signal=XFSZ")
    if prlimit:
        limits = (*limits, *_room(open_files()))
    if variables:
        limits = (*limits, env, *variables)
    if not setpriv or os.geteuid() != 0 or not all(reachable(path) for path in reads):
        return (*limits, *command)
    kept = "-all,+net_bind_service" + (",+net_raw" if raw else "")
    return (
        *limits,
        setpriv,
        f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs",
        f"--bounding-set={kept}",
        f"--inh-caps={kept}",
        f"--ambient-caps={kept}",
        *command,
    )  # fmt: skip


def _room(files: int) -> tuple[str, ...]:
    """Return what stands before a command that begins with a table for so many open files; () without bash.

    While a program with several threads makes its table larger, at each doubling, all of them that open a file wait for
    the kernel, for some 10 ms. What opens and closes the last file keeps the table when it goes on as another program.
    """
    bash, last = shutil.which("bash"), files - 1
    return (bash, "-p", "-c", f'exec {last}>&1 {last}>&-; exec "$@"', bash) if bash else ()


def is_raw(pid: int) -> bool:
    """Return whether a process may send with others' addresses; False when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return bool(int(status.partition("CapEff:\t")[2].split()[0], 16) >> _NET_RAW & 1)
    except (OSError, ValueError, IndexError):
        return False


def open_files() -> int:
    """Return how many files a confined process may have open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)


def reachable(path: Path) -> bool:
    """Return whether any user can read the file, or enter the directory, at `path`."""
    try:
        mode = path.resolve(strict=True).stat().st_mode
        parents = [parent.stat().st_mode for parent in path.resolve().parents]
    except OSError:
        return False
    wanted = 0o001 if path.is_dir() else 0o005 if os.access(path, os.X_OK) else 0o004
    return mode & wanted == wanted and all(parent & 0o001 for parent in parents)


def hand_over(path: Path, user: int = USER) -> None:
    """Make a socket, file or directory `user`'s, so that Envoy may use it; nobody else may."""
    path.chmod(0o700 if path.is_dir() else 0o600)
    if os.geteuid() == 0:
        os.chown(path, user, user)


def share_directory(path: Path, user: int, reader: int) -> None:
    """Make a directory of `user` in which the sockets that `user` makes are also `reader`'s to connect to."""
    path.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        os.chown(path, user, reader)
    path.chmod(0o2710)  # what is made in it gets its group
