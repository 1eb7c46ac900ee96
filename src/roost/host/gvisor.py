"""gVisor: machines that run on runsc's kernel, a program, instead of on the host's.

State: runsc's files in its directory below the cloud's run directory. Invariants: the newest runsc that an
administrator put before Debian's on the path is the one that is used; as with crun, every call has a deadline.
What a machine does is seen from outside only as runsc's own processes, so that commands are listed and killed
through runsc. A sandbox that does not answer is ended by its control group, as any machine.
"""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from roost.host.contract import ProcessInfo
from roost.host.finding import PATIENCE
from roost.host.oci_spec import CORE_LIMIT, OOM_SCORE
from roost.host.process import run
from roost.host.runtime import RUNTIME_ENVIRONMENT, START_TIMEOUT, Runtime, refusal
from roost.model.errors import BadInput, RoostError

INSTALL = "run scripts/setup, or put gVisor's own runsc at /usr/local/bin/runsc"
OLDEST = 20240729  # the first with systrap and directfs that was tried
# Its network is set up with a look at a file that only the host's own network had before Linux 6.11.
_KNOWS_NEW_KERNELS = 20240805
_CALL_TIMEOUT = 5.0
_ROUNDS = 8
PLATFORM = "systrap"  # needs no hardware of its own: works in virtual machines too
_ARGUMENTS = (
    f"--platform={PLATFORM}", "--network=sandbox",
    "--overlay2=none",  # writes go to the machine's disk, whose end the program sees as an ordinary full disk
    "--cpu-num-from-quota",  # the program counts the processors that it may use
)  # fmt: skip
# A mount namespace for one call, in which /proc/sys/net is empty, as for networks of machines on older kernels.
_WITHOUT_NETWORK_SYSCTLS = (
    "unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro,size=4k none /proc/sys/net && exec "$@"', "sh",
)  # fmt: skip


def program() -> Path | None:
    """Return the runsc to use; None when there is none."""
    found = shutil.which("runsc", path=RUNTIME_ENVIRONMENT["PATH"])
    return Path(found) if found else None


def gvisor_runtime(run_directory: Path) -> Runtime:
    """Return gVisor as a runtime; raises BadInput when the host lacks it."""
    found = program()
    if found is None:
        raise BadInput("this host has no gVisor (runsc)", hint=f'{INSTALL}; or use isolation = "crun"')
    return Gvisor(str(found), run_directory / "runsc", _ARGUMENTS)


class Gvisor(Runtime):
    """runsc, where its ways differ from crun's."""

    takes_terminal = True
    keeps_root_mounted = True  # the sandbox's own /proc/PID/root is empty

    def settle(self, pids: list[int]) -> None:
        """Let the processes that will be those of the machine's programs be killed for memory before the host's own.

        runsc sets the score of its kernel only. And a crash of it goes to no core_pattern, as one of the program.
        """
        for pid in pids:
            with contextlib.suppress(OSError):  # it has ended
                Path(f"/proc/{pid}/oom_score_adj").write_text(str(OOM_SCORE))
                resource.prlimit(pid, resource.RLIMIT_CORE, (CORE_LIMIT, CORE_LIMIT))

    def start(self, machine_id: str) -> None:
        """Let a created container execute its command; raises BadInput or HostFailure."""
        prefix = () if released(Path(self.program)) >= _KNOWS_NEW_KERNELS else _WITHOUT_NETWORK_SYSCTLS
        argv = [*prefix, *self._base(), "start", machine_id]
        done = run(argv, timeout=START_TIMEOUT, check=False, env=RUNTIME_ENVIRONMENT)
        if done.returncode:
            raise refusal(done.stderr.decode(errors="replace"), machine_id)

    def exec_command(self, machine_id: str, process: Path, pid_file: Path, *options: str) -> list[str]:
        """Return the command line that runs one more process; the pid it notes is the one inside."""
        note = ["--internal-pid-file", str(pid_file)]
        return [*self._base(), "exec", *options, "--process", str(process), *note, machine_id]

    def end_command(self, machine_id: str, pid: int, _processes: Callable[[], list[int]]) -> None:
        """Kill a process by the pid it has inside, and its descendants."""
        with contextlib.suppress(RoostError):
            for _ in range(_ROUNDS):
                alive = {row.pid: row.parent for row in self._listed(machine_id)}
                family = {pid} & set(alive)
                while more := {other for other, parent in alive.items() if parent in family} - family:
                    family |= more
                if not family:
                    return
                for member in family:
                    self._call("kill", "--pid", str(member), machine_id, "KILL", timeout=_CALL_TIMEOUT)

    def processes(self, machine_id: str, _pids: list[int]) -> list[ProcessInfo]:
        """Return the processes inside, as far as runsc tells of them; raises TimedOut."""
        return [ProcessInfo(row.pid, row.command, "", 0, 0.0, 0.0, 0.0) for row in self._listed(machine_id)]

    def forget(self, machine_id: str) -> None:
        """Remove what runsc keeps about a machine whose processes are gone."""
        for path in self.root.glob(f"*{machine_id}*") if self.root.is_dir() else ():
            path.unlink(missing_ok=True)

    def _listed(self, machine_id: str) -> list[Row]:
        done = self._call("ps", "--format", "table", machine_id, timeout=_CALL_TIMEOUT)  # as JSON it tells pids only
        return parse_table(done.stdout.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Row:
    """A process as runsc lists it: with the pids of the machine, and its program's name."""

    pid: int
    parent: int
    command: str


def parse_table(text: str) -> list[Row]:
    """Read what `runsc ps` prints (pure): UID, PID, PPID, C, TTY, STIME, TIME, CMD. Names are the machine's own."""
    rows = []
    for line in text.splitlines()[1:]:
        words = line.split(maxsplit=7)
        if len(words) >= 7 and words[1].isdigit() and words[2].isdigit():
            rows.append(Row(int(words[1]), int(words[2]), words[7] if len(words) > 7 else ""))
    return rows


def released(place: Path) -> int:
    """Return the date of a runsc as a number like 20240729; 0 when it doesn't say."""
    seen = place.stat()
    return _released(place, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=4)
def _released(place: Path, *_identity: int) -> int:
    said = run([str(place), "--version"], timeout=PATIENCE, check=False, env=RUNTIME_ENVIRONMENT).stdout
    return parse_release(said.decode(errors="replace"))


def parse_release(said: str) -> int:
    """Read the date in what `runsc --version` says (pure); 0 when there is none."""
    found = re.search(r"\b(20\d{6})\b", said)
    return int(found[1]) if found else 0
