"""Wedges one thread of another process, for tests: `python -m tests.e2e.edge.wedge TID`.

It attaches as a debugger does and stops that thread alone; the other threads run on. The thread runs again when this
process ends, unless it was killed by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import AsyncIterator

_SEIZE, _INTERRUPT = 0x4206, 0x4207  # ptrace(2)
_WALL = 0x40000000


@contextlib.asynccontextmanager
async def wedged(tid: int) -> AsyncIterator[None]:
    """A thread that hangs meanwhile."""
    wedge = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.edge.wedge", str(tid), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert wedge.stdout is not None
        assert await asyncio.wait_for(wedge.stdout.readline(), 10) == b"stopped\n"
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            wedge.kill()
        await wedge.wait()


def main() -> None:
    tid = int(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    for request in (_SEIZE, _INTERRUPT):
        if libc.ptrace(request, tid, None, None):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.waitpid(tid, _WALL)
    print("stopped", flush=True)
    os.waitpid(tid, _WALL)  # its end: until a debugger knows of it, the kernel keeps the process


if __name__ == "__main__":
    main()
