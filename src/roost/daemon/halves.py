"""One process as two: strangers talk to a half without rights, which asks the other, root, for what it needs.

Owns no state but the file that says that both are ready, which goes with them. Invariant: either ends with the other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from roost.daemon.companions import Companion
from roost.host.privileges import give_up


@dataclass(frozen=True, slots=True)
class Half:
    """What one of the two does, and the sockets that it alone has."""

    work: Callable[[], None]
    sockets: Sequence[socket.socket]


@dataclass(frozen=True, slots=True)
class Confines:
    """What the half that strangers talk to is: its user, bytes of address space, open files."""

    user: int
    address_space: int
    open_files: int


class _Ended(Exception):
    """Somebody wants this process to end."""


def run(companion: Companion, *, trusted: Half, exposed: Half, confines: Confines) -> None:
    """Work until SIGTERM, or until either half ends. What the exposed half imports, it must have imported before.

    Raises what the trusted half's work raises.
    """
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _close(trusted.sockets)
        _be_exposed(companion.name, exposed, confines, parent)
    _close(exposed.sockets)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    try:
        with contextlib.suppress(_Ended):
            trusted.work()
    finally:
        companion.ready.unlink(missing_ok=True)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _close(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        one.close()


def _end(_number: int, _frame: object) -> None:
    raise _Ended


def _be_exposed(name: str, half: Half, confines: Confines, parent: int) -> NoReturn:
    code = 1
    try:
        give_up(confines.user, parent=parent, memory=confines.address_space, files=confines.open_files)
        half.work()
        code = 0
    except BaseException as error:
        print(f"the {name} ends: {error!r}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(code)
