"""Fault points for chaos tests: kill this process between two steps, exactly there and once.

A step calls `fault("host.start.network")` before it begins. Without ROOST_FAULT_FILE that does nothing. With
it, the process kills itself with SIGKILL at the step whose name is in that file, and takes the file away
first, so that the next roostd, which has the same environment, goes on. One cloud can so be killed at every
step in turn.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path


def fault_points(file: Path | None) -> Callable[[str], None]:
    """Return the function to call between steps. `file` holds the name of the fatal step; None: never any."""
    if file is None:
        return lambda _step: None

    def fault(step: str) -> None:
        try:
            fatal = file.read_text().strip() == step
        except FileNotFoundError:
            return
        if fatal:
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    return fault
