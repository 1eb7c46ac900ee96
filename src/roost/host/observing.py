"""How machines are: read from their files, their control groups and /proc at each call. Owns no state.

A machine that ended by itself is PREPARED until it is released, whoever looks and however often.
"""

from __future__ import annotations

from roost.host import ending, main_process
from roost.host.containers import Containers
from roost.host.contract import Observed, ProcessInfo, RuntimeState, Usage
from roost.host.machine_files import MainProcess, Record, known
from roost.host.parts import Parts
from roost.host.runtime import runtime_for
from roost.model.errors import BadInput, FailedPrecondition
from roost.model.names import check_machine_id


class Observing:
    """Looks at the machines of one cloud."""

    def __init__(self, parts: Parts, containers: Containers) -> None:
        self._parts, self._containers = parts, containers

    def observe(self, machine_id: str) -> Observed:
        """Look at one machine."""
        files, cgroups = self._parts.files(machine_id), self._parts.cgroups
        record, main = files.record(), files.main()
        if record is None:
            last = files.exit()
            here = last is not None or self._parts.disks.image(machine_id).exists()
            return Observed(machine_id, RuntimeState.PREPARED if here else RuntimeState.ABSENT, last_exit=last)
        if main is None or not (record.several or main_process.is_alive(main)):
            started = main.started_at if main else 0.0
            return Observed(machine_id, RuntimeState.PREPARED, started_at=started, last_exit=ending.how(files, cgroups))
        state = RuntimeState.FROZEN if cgroups.is_frozen(machine_id) else RuntimeState.RUNNING
        if record.several:
            containers = self._containers.observe(machine_id)
            return Observed(machine_id, state, started_at=main.started_at, containers=containers)
        return Observed(machine_id, state, main.pid, main.started_at)

    def running(self, machine_id: str) -> tuple[MainProcess, Record]:
        """Return a machine's main process and record; raises FailedPrecondition when it doesn't run."""
        files = self._parts.files(machine_id)
        main, record = files.main(), files.record()
        if main is None or record is None or not (record.several or main_process.is_alive(main)):
            raise FailedPrecondition(f"machine {machine_id} does not run", hint="start it first")
        return main, record

    def usage(self, machine_id: str) -> Usage:
        """Return what a machine uses now; all zero but the disk when it doesn't run."""
        check_machine_id(machine_id)
        memory, seconds, pids = self._parts.cgroups.usage(machine_id)
        return Usage(memory, seconds, pids, self._parts.disks.used(machine_id))

    def processes(self, machine_id: str) -> list[ProcessInfo]:
        """Return the processes of a running machine; raises FailedPrecondition."""
        _, record = self.running(machine_id)
        runtime = runtime_for(record.isolation, self._parts.cloud.run)
        return runtime.processes(machine_id, self._parts.cgroups.processes(machine_id))

    def machines(self) -> list[str]:
        """Return the ids of all machines of which there is anything, half-made ones too."""
        names = {*known(self._parts.cloud), *self._parts.disks.machines(), *self._parts.cgroups.machines()}
        return sorted(name for name in names if _is_machine_id(name))

    def logged(self) -> list[str]:
        """Return the ids of all machines that have a log, gone ones too."""
        place = self._parts.cloud.logs / "machines"
        return [path.name for path in place.iterdir() if _is_machine_id(path.name)] if place.is_dir() else []


def _is_machine_id(name: str) -> bool:
    try:
        check_machine_id(name)
    except BadInput:
        return False
    return True
