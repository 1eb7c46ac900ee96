"""The host agent: everything control asks of this server, on the kernel and crun.

It owns the cloud's run directory `m/`, its disks, namespaces, links, control groups and machines' logs,
and keeps no state of its own: what it knows it reads from there, so that after a kill of roostd a new
agent goes on where the old one was. Invariants: a machine's record is written before anything is made
for it and removed after everything is undone; starting and destroying clear whatever an earlier attempt
left. A start that fails undoes itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from roost.host import main_process, mounts
from roost.host.cgroup_tree import ensure_hierarchies
from roost.host.cgroups import Cgroups
from roost.host.containers import Containers
from roost.host.contract import (
    Console,
    Doors,
    ExecResult,
    LogLine,
    MachineSpec,
    Observed,
    PrivateAddress,
    ProcessInfo,
    RuntimeState,
    Usage,
)
from roost.host.health import HealthResult
from roost.host.inside import Inside
from roost.host.machine_files import MachineFiles, ensure_directory
from roost.host.main_process import signal_number
from roost.host.memory import host_memory, swap_space
from roost.host.network_clients import NO_LIMITS, ClientLimits
from roost.host.observing import Observing
from roost.host.parts import COMMON_DISK_GB, Parts
from roost.host.releasing import KILL_TIMEOUT, release
from roost.host.runtime import ensure_read_only_crun, release_read_only_crun, runtime_for
from roost.host.starting import Starting
from roost.host.volumes import Volumes
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, FailedPrecondition, NotFound, RoostError
from roost.model.machine_config import Check
from roost.model.names import check_machine_id
from roost.model.network_policy import Filter

_SPARES = 2
_REFILL_AFTER = 0.1  # seconds: what comes next for a machine that was just started goes first
_STOP_TIMEOUT = 5.0
_LOG_BYTES = 16 << 20


class LocalHost:
    """The agent of the server it runs on; implements `roost.host.contract.Host`.

    `faults` is called with the name of each step before it begins: chaos tests end the process there.
    `clients` is what one client address may take of the edge. `callers`: it sends datagrams with clients' addresses.
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
        clients: ClientLimits = NO_LIMITS,
        callers: bool = False,
    ) -> None:
        self._parts = parts = Parts(
            cloud, faults, doors, pool_bytes=pool_bytes, spares=spares, clients=clients, callers=callers
        )
        self._cloud, self._faults, self._doors = cloud, faults, doors
        self._disks, self._network = parts.disks, parts.network
        self._starting = Starting(parts)
        self._containers = Containers(parts)
        self._observing = Observing(parts, self._containers)
        self._inside = Inside(parts, self._containers, self._observing)

    @property
    def volumes(self) -> Volumes:
        """See the contract."""
        return self._parts.volumes

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
        self.volumes.mend()
        self._parts.spare_disks.clear()
        self._disks.prepare_template(COMMON_DISK_GB)
        self._parts.spare_disks.refill()
        for machine_id in self._network.limited():
            if self._files(machine_id).record() is None:
                self._network.unlimit(machine_id)
        self._network.ensure()
        self._parts.namespaces.refill()
        if self._doors:
            for machine_id in self._observing.machines():
                if (door := self._files(machine_id).door).is_dir():
                    self._doors.open(machine_id, door)

    def close(self) -> None:
        """Let go of what was kept ready; machines run on."""
        self._parts.close()

    # The life of a machine

    def start(self, spec: MachineSpec) -> Observed:
        """See the contract. A frozen machine is thawed, a running one left as it is."""
        seen = self.observe(check_machine_id(spec.id))
        if seen.state is RuntimeState.FROZEN:
            self.thaw(spec.id)
        if seen.state in (RuntimeState.RUNNING, RuntimeState.FROZEN):
            return self.observe(spec.id)
        runtime = runtime_for(spec.isolation, self._cloud.run)
        if spec.swap_mb and not swap_space():
            raise BadInput(
                "config.init.swap_size_mb: this server has no swap space",
                hint="add some (`swapon --show` lists it), or remove the key",
            )
        if seen.state is not RuntimeState.ABSENT:
            self._release(spec.id, keep_root=spec.keep_root)
        try:
            if spec.containers:
                self._starting.prepare(spec)
            else:
                self._starting.start(spec, runtime)
            return self.observe(spec.id)
        except BaseException:
            with contextlib.suppress(RoostError, OSError):
                self._release(spec.id, keep_root=spec.keep_root)
            raise
        finally:
            self._parts.namespaces.refill(after=_REFILL_AFTER)
            self._parts.spare_disks.refill(after=_REFILL_AFTER)

    def start_container(self, spec: MachineSpec, name: str, *, restarts: int = 0) -> None:
        """See the contract."""
        self._observing.running(spec.id)
        self._containers.start(spec, name, restarts)

    def stop_container(self, machine_id: str, name: str) -> None:
        """See the contract."""
        self._containers.stop(machine_id, name)

    def stop(self, machine_id: str, *, signal: str, timeout: float | None, keep_root: bool = False) -> Observed:
        """See the contract."""
        files = self._files(machine_id)
        self.volumes.thaw(files.volumes)
        main, record = files.main(), files.record()
        if main is not None and record is not None and record.several:
            self._faults("host.stop.containers")
            if self._cgroups.is_frozen(machine_id):
                self._cgroups.thaw(machine_id)
            self._containers.stop_all(machine_id, signal, timeout)
        elif main is not None and main_process.is_alive(main):
            self._faults("host.stop.signal")
            files.stopping.touch()
            if self._cgroups.is_frozen(machine_id):
                self._cgroups.thaw(machine_id)
            others = lambda: [pid for pid in self._cgroups.processes(machine_id) if pid != main.pid]  # noqa: E731
            if not main_process.end(main, signal_number(signal), _STOP_TIMEOUT if timeout is None else timeout, others):
                self._faults("host.stop.kill")
                main_process.kill(main, KILL_TIMEOUT)
        self._faults("host.stop.release")
        self._release(machine_id, keep_root=keep_root)
        return self.observe(machine_id)

    def signal(self, machine_id: str, signal: str, *, container: str = "") -> None:
        """See the contract; raises FailedPrecondition when it doesn't run."""
        main, record = self._observing.running(machine_id)
        mains = [main]
        if record.several:
            names = (
                [container] if container else [seen.name for seen in self._containers.observe(machine_id) if seen.pid]
            )
            mains = [self._containers.running(machine_id, name)[1] for name in names]
        for main in mains:
            main_process.send(main, signal_number(signal))

    def freeze(self, machine_id: str) -> None:
        """See the contract; raises FailedPrecondition when it doesn't run."""
        self._observing.running(machine_id)
        self._cgroups.freeze(machine_id)

    def thaw(self, machine_id: str) -> None:
        """See the contract; raises FailedPrecondition when it doesn't run."""
        self._observing.running(machine_id)
        self._cgroups.thaw(machine_id)

    def destroy(self, machine_id: str) -> None:
        """See the contract."""
        self._faults("host.destroy.release")
        self._release(machine_id)
        self._faults("host.destroy.record")
        self._files(machine_id).remove()

    def forget_log(self, machine_id: str) -> None:
        """See the contract."""
        self._parts.log(machine_id).remove()

    def destroy_everything(self) -> None:
        """Remove all of the cloud from this server: machines, pool, networks, control groups. For destroy-cloud."""
        self.close()
        for machine_id in self._observing.machines():
            self.destroy(machine_id)
        for machine_id in self._observing.logged():
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
        container: str = "",
    ) -> ExecResult:
        """See the contract; raises FailedPrecondition when it doesn't run or is suspended."""
        return self._inside.execute(machine_id, container, argv, env or {}, user, stdin=stdin, timeout=timeout)

    def console(
        self, machine_id: str, argv: tuple[str, ...], *, rows: int, columns: int, container: str = ""
    ) -> Console:
        """See the contract; raises FailedPrecondition when it doesn't run or is suspended."""
        return self._inside.console(machine_id, container, argv, rows, columns)

    def ask_inside(self, machine_id: str, check: Check) -> HealthResult:
        """See the contract; raises FailedPrecondition when it doesn't run."""
        return self._inside.ask(machine_id, check)

    def observe(self, machine_id: str) -> Observed:
        """See the contract."""
        return self._observing.observe(machine_id)

    def observe_all(self) -> dict[str, Observed]:
        """See the contract."""
        return {machine_id: self.observe(machine_id) for machine_id in self._observing.machines()}

    def usage(self, machine_id: str) -> Usage:
        """See the contract; all zero but the disk when it doesn't run."""
        return self._observing.usage(machine_id)

    def processes(self, machine_id: str) -> list[ProcessInfo]:
        """See the contract."""
        return self._observing.processes(machine_id)

    def memory_limit(self, machine_id: str) -> int:
        """See the contract."""
        self._observing.running(machine_id)
        return self._cgroups.memory_limit(machine_id)

    def set_memory_limit(self, machine_id: str, limit: int) -> None:
        """See the contract."""
        self._observing.running(machine_id)
        self._cgroups.set_memory_limit(machine_id, limit)

    def reclaim_memory(self, machine_id: str, amount: int) -> int:
        """See the contract."""
        self._observing.running(machine_id)
        return self._cgroups.reclaim(machine_id, amount)

    def logs(
        self, machine_id: str, *, since: float = 0.0, offset: int = 0, limit: int = 1000, container: str = ""
    ) -> list[LogLine]:
        """See the contract."""
        lines = self._parts.log(machine_id, container).read(machine_id, since, offset, limit)
        return [replace(line, container=container) for line in lines] if container else lines

    def logged_containers(self, machine_id: str) -> list[str]:
        """See the contract."""
        return self._parts.log(machine_id).containers()

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

    def limit(self, machine_id: str, ipv4: IPv4Address, ipv6: IPv6Address, allowed: Filter) -> None:
        """See the contract."""
        files = self._files(machine_id)
        if files.record() is not None:
            self._network.limit(machine_id, ipv4, ipv6, allowed)
            if files.record() is None:  # it was stopped meanwhile
                self._network.unlimit(machine_id)

    def serve_privately(self, addresses: Sequence[PrivateAddress]) -> None:
        """See the contract."""
        self._network.serve_privately(addresses)

    def limited(self) -> frozenset[str]:
        """See the contract."""
        return self._network.limited()

    # The host as a whole

    def maintain(self) -> None:
        """See the contract."""
        for machine_id in self._observing.logged():
            for container in self.logged_containers(machine_id):
                self._parts.log(machine_id, container).bound(_LOG_BYTES)
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
        return self._parts.cgroups

    def _release(self, machine_id: str, *, keep_root: bool = False) -> None:
        release(self._parts, machine_id, keep_root=keep_root)

    def _files(self, machine_id: str) -> MachineFiles:
        return self._parts.files(machine_id)
