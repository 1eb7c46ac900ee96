"""Work inside a network namespace that is pinned by a file, without leaving one's own.

`setns` is per thread, so the work runs in a thread that ends afterwards: no other code ever runs in a
namespace it didn't ask for, also when the work fails. It owns no state.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from roost.model.errors import HostFailure

_CLONE_NEWNET = 0x40000000
_T = TypeVar("_T")
_libc = ctypes.CDLL(None, use_errno=True)

MACHINE_SYSCTLS: Mapping[str, str] = {
    "net/ipv4/ip_unprivileged_port_start": "0",  # an app may listen on port 80 without being root
    "net/ipv4/ping_group_range": "0 2147483647",  # ping without CAP_NET_RAW
    "net/ipv6/conf/default/accept_ra": "0",  # addresses and routes are ours to give
    "net/ipv6/conf/default/autoconf": "0",
    "net/ipv6/conf/default/accept_dad": "0",  # a second of waiting for a neighbour that can't exist
}


def inside(netns: Path, work: Callable[[], _T], *, timeout: float = 10.0) -> _T:
    """Run `work` in the namespace `netns` and return its result; its exception is raised here.

    Raises HostFailure when the file pins no network namespace, or after `timeout` seconds.
    """
    try:
        descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostFailure(f"can't open the network namespace {netns}: {error.strerror}") from None
    try:
        visit = _Visit(descriptor, work)
        thread = threading.Thread(target=visit, name=f"netns {netns.name}", daemon=True)
        thread.start()
        thread.join(timeout)
        if thread.is_alive():
            raise HostFailure(f"work in the network namespace {netns} did not end within {timeout:g} s")
        return visit.outcome()
    finally:
        os.close(descriptor)


class _Visit(Generic[_T]):
    """One thread's stay in a namespace, and what came of it."""

    def __init__(self, descriptor: int, work: Callable[[], _T]) -> None:
        self._descriptor = descriptor
        self._work = work
        self._result: list[_T] = []
        self._error: BaseException | None = None

    def __call__(self) -> None:
        try:
            if _libc.setns(self._descriptor, _CLONE_NEWNET) != 0:
                reason = os.strerror(ctypes.get_errno())
                raise HostFailure(f"can't enter a network namespace: {reason}")
            self._result.append(self._work())
        except BaseException as error:
            self._error = error

    def outcome(self) -> _T:
        if self._error is not None:
            raise self._error
        return self._result[0]


def write_sysctls(values: Mapping[str, str]) -> None:
    """Write sysctls (keys below /proc/sys) of the calling thread's network namespace; absent ones are passed over."""
    for key, value in values.items():
        try:
            Path("/proc/sys", key).write_text(value)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HostFailure(f"can't set the kernel parameter {key.replace('/', '.')}: {error.strerror}") from None
