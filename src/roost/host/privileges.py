"""What this process may do, given up for good: by a part of Roost that reads what strangers send.

Owns no state. Invariant: a process that came back from `give_up` has no capability and can't have one again, starts no
process, and ends with the one that made it. A call that fails raises, so that nothing goes on with more than it should.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pkgutil
import resource
import signal

_SET_DEATH_SIGNAL, _DROP_FROM_BOUNDING_SET, _SET_NO_NEW_PRIVILEGES = 1, 24, 38  # prctl(2)
_libc = ctypes.CDLL(None, use_errno=True)


def give_up(user: int, *, parent: int, memory: int, files: int) -> None:
    """Become `user`, which has no account: at most `memory` bytes of address space, `files` open files, no children.

    Ends with the process `parent`, which made this one. As another user than root, only the limits are set. Raises
    OSError.
    """
    root = os.geteuid() == 0
    if root:
        for capability in range(64):
            if _libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
                break  # the kernel knows no more
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)  # takes the capabilities away
    _prctl(_SET_NO_NEW_PRIVILEGES, 1)
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        raise ProcessLookupError(f"process {parent}, which this one works for, has ended")
    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_CORE, 0),
        *([(resource.RLIMIT_NPROC, 0)] if root else []),
    ):
        _, hard = resource.getrlimit(what)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (limit, limit))


def import_whole(package: str) -> None:
    """Import a package with all its modules, but for those that lack something they need.

    For packages that import parts of themselves only when they are used: without rights that may be too late, since an
    installation can be where only root reads.
    """
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, f"{package}.", onerror=lambda _name: None):
        if not found.name.endswith(".__main__"):
            with contextlib.suppress(Exception):
                importlib.import_module(found.name)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
