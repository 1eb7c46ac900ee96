"""The host agent: everything control asks of this server, on the kernel and crun.

It owns the cloud's run directory `m/`, its disks, namespaces, links, control groups and machines' logs,
and keeps no state of its own: what it knows it reads from there, so that after a kill of roostd a new
agent goes on where the old one was. Invariants: a machine's record is written before anything is made
for it and removed after everything is undone; starting and destroying clear whatever an earlier attempt
left. A start that fails undoes itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal as signals
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from roost.host import bundle, ending, main_process, mounts, root_fs
from roost.host.cgroups import Cgroups, ensure_hierarchies
from roost.host.contract import (
    BindMount,
    Console,
    Doors,
    ExecResult,
    LogLine,
    MachineSpec,
    Observed,
    ProcessInfo,
    RuntimeState,
    Usage,
)
from roost.host.disks import Disks
from roost.host.execution import Execution
from roost.host.logs import MachineLog
from roost.host.machine_files import MachineFiles, MainProcess, Record, ensure_directory, known
from roost.host.memory import host_memory
from roost.host.namespaces import Namespaces, unpin
from roost.host.network import Network
from roost.host.process_list import list_processes
from roost.host.runtime import Runtime, ensure_read_only_crun, release_read_only_crun, runtime_for
from roost.host.spare_disks import SpareDisks
from roost.host.volumes import Volumes
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, FailedPrecondition, NotFound, RoostError
from roost.model.names import check_machine_id
from roost.model.volume import Usage as VolumeUsage

_KILL_TIMEOUT = 10.0
_COMMON_DISK_GB = 8  # its template is made ahead of time
_SPARES = 2
_REFILL_AFTER = 0.1  # seconds: what comes next for a machine that was just started goes first
_BESIDE = 8  # machines whose addresses are set while their roots are made
_LOG_BYTES = 16 << 20


class LocalHost:
    """The agent of the server it runs on; implements `roost.host.contract.Host`.

    `faults` is called with the name of each step before it begins: chaos tests end the process there.
    `spares` is how many sets of namespaces, and disks, are kept ready once `ensure` was called.
    """

    def __init__(
        self,
        cloud: Cloud,
        faults: Callable[[str], None] = lambda _step: None,
        *,
        pool_bytes: int | None = None,
        doors: Doors | None = None,
        spares: int = _SPARES,
    ) -> None:
        self._cloud = cloud
        self._faults = faults
        self._doors = doors
        self._disks = Disks(cloud, pool_bytes=pool_bytes)
        self._spare_disks = SpareDisks(self._disks, cloud.pool / "spares", size_gb=_COMMON_DISK_GB, number=spares)
        self._volumes = Volumes(cloud, faults)
        self._network = Network(cloud)
        self._namespaces = Namespaces(spare=spares, on_pair=self._network.prepare, on_discard=self._network.release)
        self._beside = ThreadPoolExecutor(_BESIDE, thread_name_prefix="beside")
        self._lazy_cgroups: Cgroups | None = None

    def ensure(self) -> None:
        """Make this server ready for machines: pool, control groups, network. Repeat it after a reboot or a repair.

        The run directory must be there (`roost up` mounts it). Raises HostFailure, InsufficientCapacity.
        """
        ensure_directory(self._cloud)
        if self._cloud.run.is_mount():
            mounts.make_private(self._cloud.run)
        ensure_read_only_crun(self._cloud.run)
        ensure_hierarchies()
        self._disks.ensure_pool()
        self._volumes.mend()
        self._spare_disks.clear()
        self._disks.prepare_template(_COMMON_DISK_GB)
        self._spare_disks.refill()
        self._network.ensure()
        self._namespaces.refill()
        if self._doors:
            for machine_id in self._all_machines():
                if (door := self._files(machine_id).door).is_dir():
                    self._doors.open(machine_id, door)

    def close(self) -> None:
        """Let go of what was kept ready; machines run on."""
        self._beside.shutdown(wait=False)
        self._spare_disks.close()
        self._namespaces.close()

    # The life of a machine

    def start(self, spec: MachineSpec) -> Observed:
        """See the contract. A frozen machine is thawed, a running one left as it is."""
        seen = self.observe(check_machine_id(spec.id))
        if seen.state is RuntimeState.FROZEN:
            self.thaw(spec.id)
        if seen.state in (RuntimeState.RUNNING, RuntimeState.FROZEN):
            return self.observe(spec.id)
        runtime = runtime_for(spec.isolation, self._cloud.run)
        if seen.state is not RuntimeState.ABSENT:
            self._release(spec.id)
        try:
            return self._start(spec, runtime)
        except BaseException:
            with contextlib.suppress(RoostError, OSError):
                self._release(spec.id)
            raise
        finally:
            self._namespaces.refill(after=_REFILL_AFTER)
            self._spare_disks.refill(after=_REFILL_AFTER)

    def _start(self, spec: MachineSpec, runtime: Runtime) -> Observed:
        files = self._files(spec.id)
        self._faults("host.start.namespaces")
        pair, link = self._namespaces.take()
        try:
            self._faults("host.start.record")
            files.make(Record(spec.slot, link, spec.isolation, spec.builder))
            pair.pin(spec.slot, files.user_namespace, files.network_namespace)
        except BaseException:
            pair.close()
            raise
        self._faults("host.start.network")
        network = self._beside.submit(
            self._network.assign, files.network_namespace, link, spec.network, spec.ipv4, spec.ipv6
        )
        try:
            pid = self._create(spec, runtime, files)
        finally:
            network.result()
        main = MainProcess(pid, main_process.start_ticks(pid), time.time())
        root_fs.hide(files)
        self._faults("host.start.start")
        runtime.start(spec.id)
        self._faults("host.start.main")
        files.write_main(main)
        return self.observe(spec.id)

    def _create(self, spec: MachineSpec, runtime: Runtime, files: MachineFiles) -> int:
        """Make the machine's root and its container; return the pid that will become the main process."""
        self._faults("host.start.disk")
        self._spare_disks.provide(spec.id, spec.disk_gb, files.disk)
        spec = self._mount_volumes(spec, files)
        self._faults("host.start.root")
        userns = self._namespaces.idmap(spec.slot)
        try:
            texts = bundle.etc(spec)
            root_fs.assemble(spec, files, userns, {} if spec.builder else texts)
            binds = root_fs.attach_binds(spec, files, userns)
        finally:
            os.close(userns)
        self._faults("host.start.bundle")
        if self._doors and spec.isolation == "crun" and not spec.builder:
            files.door.mkdir(mode=0o755)
            self._doors.open(spec.id, files.door)
        bundle.write(spec, files, binds, texts if spec.builder else {}, self._cgroups)
        self._faults("host.start.create")
        return runtime.create(files, self._log(spec.id).prepare(), tty=spec.tty)

    def _mount_volumes(self, spec: MachineSpec, files: MachineFiles) -> MachineSpec:
        """Mount the machine's volumes; return the spec in which they are binds like any other."""
        binds = list(spec.binds)
        for volume in spec.volumes:
            place = files.volumes / volume.volume_id
            self._volumes.mount(volume.volume_id, place)
            binds.append(BindMount(place, volume.target, read_only=False))
        return replace(spec, binds=tuple(binds))

    def stop(self, machine_id: str, *, signal: str, timeout: float) -> Observed:
        """See the contract."""
        files = self._files(machine_id)
        self._volumes.thaw(files.volumes)
        main = files.main()
        if main is not None and main_process.is_alive(main):
            self._faults("host.stop.signal")
            files.stopping.touch()
            if self._cgroups.is_frozen(machine_id):
                self._cgroups.thaw(machine_id)
            others = lambda: [pid for pid in self._cgroups.processes(machine_id) if pid != main.pid]  # noqa: E731
            if not main_process.end(main, _signal_number(signal), timeout, others):
                self._faults("host.stop.kill")
                main_process.kill(main, _KILL_TIMEOUT)
        self._faults("host.stop.release")
        self._release(machine_id)
        return self.observe(machine_id)

    def signal(self, machine_id: str, signal: str) -> None:
        """See the contract; raises FailedPrecondition when it doesn't run."""
        main, _ = self._running(machine_id)
        main_process.send(main, _signal_number(signal))

    def freeze(self, machine_id: str) -> None:
        """See the contract; raises FailedPrecondition when it doesn't run."""
        self._running(machine_id)
        self._cgroups.freeze(machine_id)

    def thaw(self, machine_id: str) -> None:
        """See the contract; raises FailedPrecondition when it doesn't run."""
        self._running(machine_id)
        self._cgroups.thaw(machine_id)

    def destroy(self, machine_id: str) -> None:
        """See the contract."""
        self._faults("host.destroy.release")
        self._release(machine_id)
        self._faults("host.destroy.record")
        self._files(machine_id).remove()

    def forget_log(self, machine_id: str) -> None:
        """See the contract."""
        self._log(machine_id).remove()

    def destroy_everything(self) -> None:
        """Remove all of the cloud from this server: machines, pool, networks, control groups. For destroy-cloud."""
        self.close()
        for machine_id in self._all_machines():
            self.destroy(machine_id)
        for machine_id in self._logs():
            self.forget_log(machine_id)
        self._faults("host.destroy.network")
        self._network.destroy()
        self._cgroups.remove_parent()
        self._faults("host.destroy.pool")
        self._disks.remove_pool()
        release_read_only_crun(self._cloud.run)

    # What a machine does now

    def execute(
        self,
        machine_id: str,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        env: dict[str, str] | None = None,
        user: str = "",
    ) -> ExecResult:
        """See the contract; raises FailedPrecondition when it doesn't run or is suspended."""
        execution, process = self._execution(machine_id, argv, env or {}, user)
        return execution.run(process, stdin=stdin, timeout=timeout)

    def console(self, machine_id: str, argv: tuple[str, ...], *, rows: int, columns: int) -> Console:
        """See the contract; raises FailedPrecondition when it doesn't run or is suspended."""
        execution, process = self._execution(machine_id, argv, {"TERM": "xterm-256color"}, "")
        return execution.console(process, rows, columns)

    def observe(self, machine_id: str) -> Observed:
        """See the contract."""
        files = self._files(machine_id)
        record, main = files.record(), files.main()
        if record is None:
            last = files.exit()
            here = last is not None or self._disks.image(machine_id).exists()
            return Observed(machine_id, RuntimeState.PREPARED if here else RuntimeState.ABSENT, last_exit=last)
        if main is None or not main_process.is_alive(main):
            started = main.started_at if main else 0.0
            return Observed(
                machine_id, RuntimeState.PREPARED, started_at=started, last_exit=ending.how(files, self._cgroups)
            )
        state = RuntimeState.FROZEN if self._cgroups.is_frozen(machine_id) else RuntimeState.RUNNING
        return Observed(machine_id, state, main.pid, main.started_at)

    def observe_all(self) -> dict[str, Observed]:
        """See the contract."""
        return {machine_id: self.observe(machine_id) for machine_id in self._all_machines()}

    def usage(self, machine_id: str) -> Usage:
        """See the contract; all zero but the disk when it doesn't run."""
        check_machine_id(machine_id)
        memory, seconds, pids = self._cgroups.usage(machine_id)
        return Usage(memory, seconds, pids, self._disks.used(machine_id))

    def processes(self, machine_id: str) -> list[ProcessInfo]:
        """See the contract."""
        self._running(machine_id)
        return list_processes(self._cgroups.processes(machine_id))

    def memory_limit(self, machine_id: str) -> int:
        """See the contract."""
        self._running(machine_id)
        return self._cgroups.memory_limit(machine_id)

    def set_memory_limit(self, machine_id: str, limit: int) -> None:
        """See the contract."""
        self._running(machine_id)
        self._cgroups.set_memory_limit(machine_id, limit)

    def logs(self, machine_id: str, *, since: float = 0.0, offset: int = 0, limit: int = 1000) -> list[LogLine]:
        """See the contract."""
        return self._log(machine_id).read(machine_id, since, offset, limit)

    @contextlib.contextmanager
    def upper(self, machine_id: str) -> Iterator[Path]:
        """See the contract; raises FailedPrecondition while it runs, NotFound once it was released."""
        files = self._files(machine_id)
        main = files.main()
        if main is not None and main_process.is_alive(main):
            raise FailedPrecondition(f"machine {machine_id} still runs", hint="wait for its end")
        if main is None or not files.disk.is_mount():
            raise NotFound(f"machine {machine_id} has no writable layer", hint="it was stopped; start it again")
        self._cgroups.kill_all(machine_id)  # nothing writes any more
        yield files.upper

    # Volumes

    def create_volume(self, volume_id: str, size_gb: int, *, snapshot_id: str = "", source_volume_id: str = "") -> None:
        """See the contract."""
        self._volumes.create(volume_id, size_gb, snapshot_id=snapshot_id, source_id=source_volume_id)

    def extend_volume(self, volume_id: str, size_gb: int) -> bool:
        """See the contract; raises NotFound."""
        return self._volumes.extend(volume_id, size_gb)

    def destroy_volume(self, volume_id: str) -> None:
        """See the contract."""
        self._volumes.destroy(volume_id)

    def snapshot_volume(self, volume_id: str, snapshot_id: str) -> tuple[int, int]:
        """See the contract; raises NotFound."""
        return self._volumes.snapshot(volume_id, snapshot_id)

    def destroy_snapshot(self, snapshot_id: str) -> None:
        """See the contract."""
        self._volumes.destroy_snapshot(snapshot_id)

    def volume_usage(self, volume_id: str) -> VolumeUsage:
        """See the contract."""
        return self._volumes.usage(volume_id)

    # The host as a whole

    def maintain(self) -> None:
        """See the contract."""
        for machine_id in self._logs():
            self._log(machine_id).bound(_LOG_BYTES)
        if not self._network.intact():
            self._network.ensure()

    def disk_usage(self) -> tuple[int, int]:
        """See the contract."""
        return self._disks.usage()

    def memory(self) -> tuple[int, int]:
        """See the contract."""
        return host_memory()

    # Parts

    @property
    def _cgroups(self) -> Cgroups:
        """The hierarchies are looked up when first needed: `ensure` may have to mount one."""
        if self._lazy_cgroups is None:
            self._lazy_cgroups = Cgroups(self._cloud.cgroup)
        return self._lazy_cgroups

    def _release(self, machine_id: str) -> None:
        """Kill what runs and undo all of a run but its log and how it ended. Finds things half-made."""
        files = self._files(machine_id)
        if self._doors:
            self._doors.close(machine_id)
        record = files.record()
        self._volumes.thaw(files.volumes)  # nothing that waits to write could be killed
        self._cgroups.kill_all(machine_id)
        if record is not None:
            self._kill_uncounted(files)
            files.write_exit(ending.how(files, self._cgroups))
            ending.see_out_monitor(files)
        self._cgroups.remove(machine_id)
        for isolation in ("crun", "gvisor"):
            with contextlib.suppress(BadInput):
                runtime_for(isolation, self._cloud.run).forget(machine_id)
        unpin(files.user_namespace, files.network_namespace)
        if record is not None:
            self._network.release(record.link)
        if files.disk.is_mount():
            self._disks.abandon(files.disk)
        self._volumes.release(files.volumes)
        for point in mounts.mounts_below(files.directory):
            mounts.unmount(point)
        self._disks.remove(machine_id)
        files.forget_run()

    def _kill_uncounted(self, files: MachineFiles) -> None:
        """Kill a first process that isn't in the machine's control group (a start that was killed half-way)."""
        main = files.main()
        if main is not None:
            main_process.kill(main, _KILL_TIMEOUT)

    def _execution(
        self, machine_id: str, argv: tuple[str, ...], env: dict[str, str], user: str
    ) -> tuple[Execution, dict[str, Any]]:
        main, record = self._running(machine_id)
        if self._cgroups.is_frozen(machine_id):
            raise FailedPrecondition(f"machine {machine_id} is suspended", hint="start it first")
        files = self._files(machine_id)
        runtime = runtime_for(record.isolation, self._cloud.run)
        execution = Execution(
            machine_id, runtime, files.directory, main.pid, lambda: self._cgroups.processes(machine_id)
        )
        own = json.loads((files.bundle / "config.json").read_text())["process"]
        return execution, execution.process_of(own, argv, env, user)

    def _running(self, machine_id: str) -> tuple[MainProcess, Record]:
        files = self._files(machine_id)
        main, record = files.main(), files.record()
        if main is None or record is None or not main_process.is_alive(main):
            raise FailedPrecondition(f"machine {machine_id} does not run", hint="start it first")
        return main, record

    def _all_machines(self) -> list[str]:
        names = {*known(self._cloud), *self._disks.machines(), *self._cgroups.machines()}
        return sorted(name for name in names if _is_machine_id(name))

    def _logs(self) -> list[str]:
        place = self._cloud.logs / "machines"
        return [path.name for path in place.iterdir() if _is_machine_id(path.name)] if place.is_dir() else []

    def _files(self, machine_id: str) -> MachineFiles:
        return MachineFiles(self._cloud, check_machine_id(machine_id))

    def _log(self, machine_id: str) -> MachineLog:
        return MachineLog(self._cloud.logs / "machines" / check_machine_id(machine_id))


def _signal_number(name: str) -> int:
    """Return a signal's number; raises BadInput."""
    try:
        return signals.Signals[name].value
    except KeyError:
        raise BadInput(f"{name[:40]!r} is not a signal", hint="use a name like SIGTERM") from None


def _is_machine_id(name: str) -> bool:
    try:
        check_machine_id(name)
    except BadInput:
        return False
    return True
