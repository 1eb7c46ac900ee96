"""Ports for the servers of tests: free, and nobody else's until this process ends, however many suites run at once.

They are of a range of their own, below the one from which the kernel takes ports for outgoing connections, so that no
client's connection (nor what is left of one, in TIME_WAIT) comes to be on a port between its choice and its use. Each
is claimed by the name of an abstract socket: one process has it, and the kernel takes it back when that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import random
import socket

FIRST, LAST = 20_000, 32_767  # apps of a cloud may have them too, by its default
_claims: list[socket.socket] = []


@atexit.register
def _give_back() -> None:
    for claim in _claims:
        claim.close()


def free_port() -> int:
    """Return a port that is free on all addresses, by TCP and UDP."""
    count = LAST - FIRST + 1
    start = random.randrange(count)
    for step in range(count):
        port = FIRST + (start + step) % count
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0roost-test-port-{port}")
        except OSError:
            claim.close()
            continue
        if _is_free(port):
            _claims.append(claim)
            return port
        claim.close()
    raise RuntimeError(f"no port from {FIRST} to {LAST} is free")


def _is_free(port: int) -> bool:
    with contextlib.ExitStack() as stack:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            probe = stack.enter_context(socket.socket(socket.AF_INET, kind))
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True
