"""Compiles what Envoy loads, when the edge starts. Owns the files of modules below the run directory.

A module's file is named after its source, written beside its place and renamed, so two that compile at once do no
harm, and an Envoy that runs keeps what it loaded. Without a compiler there is no module, and the edge does without.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
from pathlib import Path

from roost.edge.admission import SEARCH_PATH, SOURCE, file_name, module_name
from roost.edge.confinement import reachable
from roost.edge.process import Spawn, wait_for_end

COMPILE_TIMEOUT = 60.0
_log = logging.getLogger("roost.edge")


async def admission_module(directory: Path, spawn: Spawn, log: Path) -> str:
    """Return the name of the module for admission, compiled into `directory`; "" if that can't be done."""
    name = module_name()
    target = directory / file_name(name)
    if target.exists() and reachable(target):
        return name
    compiler = shutil.which("tcc")
    if compiler is None:
        _log.warning("requests above hard_limit wait without a deadline: tcc is not installed (scripts/setup does)")
        return ""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711)
    fresh = directory / f".{secrets.token_hex(4)}.so"
    try:
        pid = spawn((compiler, "-shared", "-nostdlib", "-o", str(fresh), str(SOURCE)), log)
        with contextlib.suppress(TimeoutError, ProcessLookupError):
            async with asyncio.timeout(COMPILE_TIMEOUT):
                await wait_for_end(pid)
        fresh.chmod(0o644)
        fresh.replace(target)
    except OSError as error:
        _log.warning("the edge's module could not be compiled, see %s: %s", log, error)
        return ""
    finally:
        fresh.unlink(missing_ok=True)
    return name if reachable(target) or os.geteuid() != 0 else ""


def looks_there(pid: int, directory: Path) -> bool:
    """Return whether a running Envoy was started so that it finds modules in `directory`."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{SEARCH_PATH}={directory}".encode() in variables
