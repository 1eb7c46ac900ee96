"""Fault points for chaos tests: kill this process between two steps, exactly there and once.

A step calls `fault("host.start.network")` before it begins. Without ROOST_FAULT that does nothing. With it,
the process kills itself with SIGKILL at that name; a marker in the run directory keeps the next roostd,
which has the same environment, from doing it again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path


def fault_points(name: str, run: Path) -> Callable[[str], None]:
    """Return the function to call between steps. `name` is the fatal step, "" for none."""
    if not name:
        return lambda _step: None
    marker = run / f"fault-{name.replace('/', '_')}"

    def fault(step: str) -> None:
        if step == name and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return fault
