"""Compiles the module that Envoy loads, when the edge starts. Owns the module's files below the run directory.

A file is named after its sources, written beside its place and renamed, so two that compile at once do no harm, and an
Envoy that runs keeps what it loaded. Without a compiler the edge does not start.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import struct
from pathlib import Path

from roost.edge.native_module import SEARCH_PATH, compile_command, file_name
from roost.edge.process import Spawn, terminate, wait_for_end
from roost.model.errors import FailedPrecondition, HostFailure

COMPILE_TIMEOUT = 60.0
_ELF = struct.Struct("<40xQ10xHH2x")  # of 64 bits: where the table of sections is, an entry's size, their number


async def build_module(directory: Path, spawn: Spawn, log: Path) -> None:
    """Have the module in `directory`, readable for Envoy's user.

    Raises FailedPrecondition when there is no compiler, HostFailure when it fails.
    """
    target = directory / file_name()
    if target.exists():
        return
    compiler = shutil.which("tcc")
    if compiler is None:
        raise FailedPrecondition("tcc, which compiles the edge's filters, is not installed", hint="run scripts/setup")
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711)
    fresh = directory / f".{secrets.token_hex(4)}.so"
    try:
        pid = spawn(compile_command(compiler, fresh), log)
        try:
            async with asyncio.timeout(COMPILE_TIMEOUT):
                await wait_for_end(pid)
        except TimeoutError:
            await terminate(pid)  # what it has written is not whole
            raise HostFailure(
                f"compiling the edge's filters took over {COMPILE_TIMEOUT:g} s", hint=f"see {log}"
            ) from None
        fresh.chmod(0o644)
        if not is_whole(fresh):
            raise HostFailure("the edge's filters could not be compiled: the disk is full", hint=f"see {log}")
        fresh.replace(target)
    except OSError as error:
        raise HostFailure(f"the edge's filters could not be compiled: {error.strerror}", hint=f"see {log}") from None
    finally:
        fresh.unlink(missing_ok=True)


def is_whole(module: Path) -> bool:
    """Say whether a module has all that its first bytes speak of: tcc does not look whether the disk took it."""
    with module.open("rb") as file:
        head = file.read(_ELF.size)
    if len(head) < _ELF.size or not head.startswith(b"\x7fELF\x02\x01"):
        return False
    sections, size, number = _ELF.unpack(head)
    return bool(sections) and sections + size * number <= module.stat().st_size


def looks_there(pid: int, directory: Path) -> bool:
    """Return whether a running Envoy was started so that it finds modules in `directory`."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{SEARCH_PATH}={directory}".encode() in variables
