"""The OCI runtime and its monitor: crun (or runsc) under conmon.

State: the runtime's own directory below the cloud's run directory, and one conmon per machine, which is
nobody's child: it holds the machine's output and writes its exit code, whether roostd lives or not.
Invariants: every call has a deadline, since a hostile machine can hold a runtime up; secrets travel in
files below the run directory only. A creation that fails or is killed half-way leaves a container that
`forget` and the cgroup's `kill_all` remove.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from roost.host import main_process, mounts
from roost.host.contract import ProcessInfo
from roost.host.machine_files import RunFiles
from roost.host.process import Completed, run
from roost.host.process_list import list_processes
from roost.model.errors import BadInput, HostFailure, RoostError, TimedOut

_CRUN = Path("/usr/bin/crun")
_CREATE_TIMEOUT = 60.0
START_TIMEOUT = 60.0
RUNTIME_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "_LIBCONTAINER_CLONED_BINARY": "1",  # see ensure_read_only_crun
}
_ORNAMENT = re.compile(r"\x1b\[[0-9;]*m|\d{4}-\d\d-\d\dT[0-9:.]+Z: ")  # colours and the time of day
# What the runtime says when the image or the request is to blame, not the host.
_FAULTS_OF_THE_IMAGE = ("executable", "exec format error", "chdir", "exec:", "failed to load")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One OCI runtime program and the directory it keeps its containers in."""

    program: str
    root: Path
    arguments: tuple[str, ...] = ()

    takes_terminal: ClassVar[bool] = False  # it uses that of its input, instead of making one
    keeps_root_mounted: ClassVar[bool] = False  # on the host, while the machine runs

    def create(self, files: RunFiles, log: Path, *, tty: bool) -> int:
        """Make the container and its monitor; returns the pid of its first process, which waits for `start`.

        Raises BadInput when the image can't run the command, HostFailure or TimedOut otherwise.
        """
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                self._monitor(files, log, tty, writer)
            finally:
                os.close(writer)
            answer = _read_answer(reader, time.monotonic() + _CREATE_TIMEOUT)
        finally:
            os.close(reader)
        if isinstance(pid := answer.get("data"), int) and pid > 0:
            return pid
        raise refusal(str(answer.get("message", "")), files.runtime_id)

    def settle(self, pids: list[int]) -> None:
        """Put right what the runtime forgot for processes that it made and not yet started; `pids` are all of them."""

    def start(self, machine_id: str) -> None:
        """Let a created container execute its command; raises BadInput or HostFailure."""
        done = self._call("start", machine_id, timeout=START_TIMEOUT)
        if done.returncode:
            raise refusal(done.stderr.decode(errors="replace"), machine_id)

    def exec_command(self, machine_id: str, process: Path, pid_file: Path, *options: str) -> list[str]:
        """Return the command line that runs one more process, described in a file, in a machine."""
        return [*self._base(), "exec", *options, "--process", str(process), "--pid-file", str(pid_file), machine_id]

    def end_command(self, _machine_id: str, pid: int, processes: Callable[[], list[int]]) -> None:
        """Kill a process that `exec_command` ran, by the pid it noted, and its descendants among `processes`."""
        main_process.kill_tree(pid, processes)

    def processes(self, _machine_id: str, pids: list[int]) -> list[ProcessInfo]:
        """Return the processes inside; `pids` are those in its control group."""
        return list_processes(pids)

    def forget(self, machine_id: str) -> None:
        """Remove what the runtime keeps about a machine whose processes are gone."""
        shutil.rmtree(self.root / machine_id, ignore_errors=True)

    def _monitor(self, files: RunFiles, log: Path, tty: bool, sync_pipe: int) -> None:
        runtime_arguments = [f"--runtime-arg={word}" for word in self._base()[1:]]
        run(
            [
                "conmon", "--api-version", "1",
                "--cid", files.runtime_id, "--cuuid", files.runtime_id, "--name", files.runtime_id,
                "--runtime", self.program, *runtime_arguments,
                "--bundle", str(files.bundle),
                "--container-pidfile", str(files.pid), "--conmon-pidfile", str(files.monitor_pid),
                "--exit-dir", str(files.exits), "--full-attach", "--no-sync-log",
                "--log-path", f"k8s-file:{log}", "--log-level", "error",
                *(["--terminal"] if tty else []),
            ],
            timeout=_CREATE_TIMEOUT, env=RUNTIME_ENVIRONMENT | {"_OCI_SYNCPIPE": str(sync_pipe)}, pass_fds=(sync_pipe,),
            cwd=files.bundle,  # conmon notes a kill for memory in a file of its working directory
        )  # fmt: skip

    def _base(self) -> list[str]:
        return [self.program, f"--root={self.root}", *self.arguments]

    def _call(self, *words: str, timeout: float) -> Completed:
        return run([*self._base(), *words], timeout=timeout, check=False, env=RUNTIME_ENVIRONMENT)


def runtime_for(isolation: str, run_directory: Path) -> Runtime:
    """Return the runtime of an isolation level; raises BadInput when the host lacks it."""
    if isolation == "crun":
        quick = _read_only_program(run_directory)
        program = quick if quick.exists() else _CRUN
        return Runtime(str(program), run_directory / "crun", ("--cgroup-manager=cgroupfs",))
    if isolation == "gvisor":
        from roost.host.gvisor import gvisor_runtime  # it builds on this module

        return gvisor_runtime(run_directory)
    raise BadInput(f"isolation {isolation[:40]!r} is not known", hint="use crun or gvisor")


def ensure_read_only_crun(run_directory: Path) -> None:
    """Bind crun read-only below the run directory, and again when it was upgraded.

    crun protects its own file from the containers it enters by starting itself anew from a read-only copy, on each
    call. Told (by a variable in the environment) that it is on a read-only mount, and finding that true, it need
    not, which halves the time of a call. Where the bind fails, crun is used as it is. Twice is once.
    """
    program = _read_only_program(run_directory)
    if not _CRUN.exists() or (program.exists() and program.samefile(_CRUN)):
        return
    program.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mounts.unmount(program)
    program.unlink(missing_ok=True)
    program.touch(mode=0o700)
    try:
        mounts.bind(_CRUN, program, read_only=True)
    except OSError:
        mounts.unmount(program)
        program.unlink()


def release_read_only_crun(run_directory: Path) -> None:
    """Undo that; not there is no error."""
    mounts.unmount(_read_only_program(run_directory))
    shutil.rmtree(_read_only_program(run_directory).parent, ignore_errors=True)


def _read_only_program(run_directory: Path) -> Path:
    return run_directory / "bin" / "crun"


def _read_answer(reader: int, deadline: float) -> dict[str, object]:
    """Read conmon's one line of JSON."""
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimedOut("the container runtime did not make the machine in time", hint="try again")
        data = os.read(reader, 65536)
        if not data:
            break
        line += data
    try:
        answer = json.loads(line)
    except ValueError:
        raise HostFailure("the machine's monitor ended before the machine was made", hint="see roostd's log") from None
    return answer if isinstance(answer, dict) else {}


def refusal(message: str, machine_id: str) -> RoostError:
    """Turn the runtime's words into an error that says whose fault it is (pure)."""
    words = " ".join(_ORNAMENT.sub("", message).split())[-400:] or "it gave no reason"
    if any(fault in words.lower() for fault in _FAULTS_OF_THE_IMAGE):
        hint = "check the command, its path and the work directory"
        return BadInput(f"machine {machine_id} can't run the command: {words}", hint=hint)
    return HostFailure(f"the runtime refused to run the command in machine {machine_id}: {words}")
