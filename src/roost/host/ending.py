"""How a machine's run ended, and its monitor's end.

Stateless: reads what conmon wrote into the machine's directory. In the moment between the end of the
main process and conmon's note of it, readers wait for the note, while conmon lives and up to a deadline.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from roost.host import main_process
from roost.host.cgroups import Cgroups
from roost.host.machine_files import MainProcess, RunFiles
from roost.model.machine import ExitInfo

_NOTE_TIMEOUT = 10.0  # of a monitor that is there; gVisor took more than 2 s to end on busy processors
_POLITE_TIME = 0.5
_KILL_TIMEOUT = 5.0


def how(files: RunFiles, cgroups: Cgroups) -> ExitInfo | None:
    """Return how the latest run ended; None when it never ran or nobody saw the end."""
    if files.main() is None:
        return files.exit()
    deadline = time.monotonic() + _NOTE_TIMEOUT
    while not (text := _text(files.exit_code)):
        if time.monotonic() > deadline or not _monitor(files):
            text = _text(files.exit_code)  # it may have been the monitor's last deed
            break
        time.sleep(0.001)
    if not text.lstrip("-").isdigit():
        return files.exit()
    return main_process.exit_info(
        int(text),
        oom_kills=cgroups.oom_kills(files.group),
        requested=files.stopping.exists(),
        at=files.exit_code.stat().st_mtime,
    )


def see_out_monitor(files: RunFiles) -> None:
    """Wait for the monitor, which ends by itself after the machine, and kill it if it doesn't."""
    monitor = _monitor(files)
    if monitor is None:
        return
    if not main_process.wait(monitor, _POLITE_TIME):
        main_process.kill(monitor, _KILL_TIMEOUT)


def _monitor(files: RunFiles) -> MainProcess | None:
    """Return the machine's conmon if it lives; its command line names the machine."""
    with contextlib.suppress(ValueError):
        pid = int(_text(files.monitor_pid))
        if files.runtime_id in _text(Path(f"/proc/{pid}/cmdline")):
            return MainProcess(pid, main_process.start_ticks(pid), 0.0)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
