"""The containers of a machine that has several: each a program with a root, a monitor and a log of its own.

State: RUN/m/MACHINE/c/CONTAINER, laid out as a machine's own, and `c/CONTAINER` on the machine's disk for the
writable layer. Namespaces, disk, limits and directories are the machine's, which is prepared before. Invariants:
a container's record is written before anything is made for it; its main process is noted after it was started,
so one that was killed in between counts as never started and is made anew; each start has a fresh root, or, where the
machine keeps them, the former one.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from roost.host import bundle, ending, main_process, root_files, root_fs
from roost.host.contract import BindMount, ContainerSpec, MachineSpec, ObservedContainer
from roost.host.machine_files import ContainerFiles, ContainerRecord, MachineFiles, MainProcess
from roost.host.main_process import signal_number
from roost.host.parts import Parts
from roost.host.releasing import KILL_TIMEOUT
from roost.host.runtime import runtime_for
from roost.host.starting import as_binds
from roost.model.errors import FailedPrecondition, NotFound


class Containers:
    """Starts, ends and looks at containers of machines whose common part was prepared."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def start(self, spec: MachineSpec, name: str, restarts: int) -> None:
        """Run a container, with a fresh root, unless it runs; one that fails leaves nothing of itself."""
        parts, files = self._parts, self._parts.files(spec.id)
        one = next((one for one in spec.containers if one.name == name), None)
        if one is None:
            raise NotFound(f"machine {spec.id} has no container {name[:63]!r}")
        if parts.cgroups.is_frozen(spec.id):
            raise FailedPrecondition(f"machine {spec.id} is suspended", hint="start it first")
        place = files.container(name)
        main = place.main()
        if main is not None and main_process.is_alive(main):
            return
        self._forget(place, keep_root=spec.keep_root)
        parts.faults("host.container.record")
        place.make(ContainerRecord(restarts, one.stop_signal, one.stop_timeout))
        try:
            self._run(_alone(spec, one, files), files, place)
        except BaseException:
            self._forget(place, keep_root=spec.keep_root)
            raise

    def _run(self, spec: MachineSpec, machine: MachineFiles, files: ContainerFiles) -> None:
        parts, runtime = self._parts, runtime_for(spec.isolation, self._parts.cloud.run)
        parts.faults("host.container.root")
        userns = parts.namespaces.idmap(spec.slot)
        try:
            root_fs.assemble(spec, files, userns, bundle.etc(spec, parts.nameservers()))
            root_files.write(spec, files.root)
            spec = replace(spec, binds=spec.binds + root_files.secret_binds(spec, files.secrets))
            binds = root_fs.attach_binds(spec, files, userns)
        finally:
            os.close(userns)
        bundle.write(spec, files, binds, {}, parts.cgroups)
        parts.faults("host.container.create")
        pid = runtime.create(files, parts.log(machine.machine_id, files.name).prepare(), tty=False)
        main = MainProcess(pid, main_process.start_ticks(pid), time.time())
        root_fs.hide(files)
        parts.faults("host.container.start")
        runtime.start(files.runtime_id)
        parts.faults("host.container.main")
        files.write_main(main)

    def stop(self, machine_id: str, name: str) -> None:
        """Ask an unhealthy container to end as it was told at its start, then kill it; not there is no error."""
        place = self._parts.files(machine_id).container(name)
        if is_alive(place):
            place.unhealthy.touch()
            self._end(place, "", None)

    def stop_all(self, machine_id: str, signal: str, timeout: float | None) -> None:
        """End all containers at once: as each was told at its start, or with this signal and within this time."""
        places = [place for place in self._parts.files(machine_id).containers() if is_alive(place)]
        for place in places:
            place.stopping.touch()
        if not places:
            return
        with ThreadPoolExecutor(len(places), thread_name_prefix="ending") as pool:
            list(pool.map(lambda place: self._end(place, signal, timeout), places))

    def _end(self, place: ContainerFiles, signal: str, timeout: float | None) -> None:
        main, record = place.main(), place.record()
        if main is None or record is None or not main_process.is_alive(main):
            return
        cgroups = self._parts.cgroups
        others = lambda: [pid for pid in cgroups.processes(place.group) if pid != main.pid]  # noqa: E731
        number = signal_number(signal or record.stop_signal)
        if not main_process.end(main, number, record.stop_timeout if timeout is None else timeout, others):
            main_process.kill(main, KILL_TIMEOUT)
        cgroups.kill_all(place.group)

    def observe(self, machine_id: str) -> tuple[ObservedContainer, ...]:
        """Return the containers that were started, by name."""
        found = []
        for place in self._parts.files(machine_id).containers():
            main, record = place.main(), place.record()
            if main is None or record is None:
                continue
            alive = main_process.is_alive(main)
            last = None if alive else ending.how(place, self._parts.cgroups)
            pid, unhealthy = main.pid if alive else 0, place.unhealthy.exists()
            found.append(ObservedContainer(place.name, pid, main.started_at, record.restarts, last, unhealthy))
        return tuple(found)

    def running(self, machine_id: str, name: str) -> tuple[ContainerFiles, MainProcess]:
        """Return a container that runs; raises NotFound or FailedPrecondition."""
        begun = {place.name: place for place in self._parts.files(machine_id).containers()}
        place = begun.get(name)
        main = place.main() if place else None
        if place is None or main is None:
            raise NotFound(
                f"machine {machine_id} has no container {name[:63]!r} that was started",
                hint=f"there are {', '.join(begun) or 'none'}",
            )
        if not main_process.is_alive(main):
            raise FailedPrecondition(f"container {name} of machine {machine_id} does not run", hint="see its log")
        return place, main

    def _forget(self, place: ContainerFiles, *, keep_root: bool) -> None:
        """Undo all of a container's latest run, but not what it wrote where that is kept; finds things half-made."""
        if not place.directory.is_dir():
            return
        parts = self._parts
        parts.cgroups.kill_all(place.group)
        main = place.main()
        if main is not None:
            main_process.kill(main, KILL_TIMEOUT)
        ending.see_out_monitor(place)
        parts.cgroups.remove(place.group)
        runtime_for("crun", parts.cloud.run).forget(place.runtime_id)
        place.remove(keep_root=keep_root)


def is_alive(place: ContainerFiles) -> bool:
    """Say whether a container runs."""
    main = place.main()
    return main is not None and main_process.is_alive(main)


def _alone(spec: MachineSpec, one: ContainerSpec, files: MachineFiles) -> MachineSpec:
    """Return the spec of a machine that is this container alone."""
    images = {directory.name for directory in spec.shared if directory.storage_type == "image"}
    shared = (BindMount(files.shared / name, target, read_only=name in images) for name, target in one.mounts)
    return replace(
        spec,
        layers=one.layers,
        argv=one.argv,
        env=one.env,
        cwd=one.cwd,
        user=one.user,
        tty=False,
        binds=(*as_binds(spec, files).binds, *shared),
        containers=(),
        shared=(),
        files=one.files,
    )
