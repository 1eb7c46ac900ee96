"""Starting a machine: its namespaces, addresses, disk, root and program; or what its containers share.

State owned: none. Invariant: the record is written before anything is made, so that whatever a kill or an
error leaves is found and undone by `releasing.release`; a start never goes on from a half-made machine.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import Future
from dataclasses import replace

from roost.host import bundle, kept_roots, main_process, root_files, root_fs
from roost.host.contract import BindMount, MachineSpec, SharedDirectory
from roost.host.machine_files import MachineFiles, MainProcess, Record
from roost.host.oci_spec import resources
from roost.host.parts import Parts
from roost.host.runtime import Runtime


class Starting:
    """Starts machines of which nothing is left from before."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def start(self, spec: MachineSpec, runtime: Runtime) -> None:
        """Make the machine and run its program; raises what the host's `start` raises, with things left half-made."""
        files = self._parts.files(spec.id)
        network = self._begin(spec, files)
        try:
            pid = self._create(spec, runtime, files)
        finally:
            network.result()
        main = MainProcess(pid, main_process.start_ticks(pid), time.time())
        root_fs.hide(files, root=not runtime.keeps_root_mounted)
        runtime.settle(self._parts.cgroups.processes(spec.id))
        self._parts.faults("host.start.start")
        runtime.start(spec.id)
        self._parts.faults("host.start.main")
        files.write_main(main)

    def prepare(self, spec: MachineSpec) -> None:
        """Make what the containers of a machine share; raises and leaves things as `start` does."""
        parts, files = self._parts, self._parts.files(spec.id)
        network = self._begin(spec, files)
        try:
            parts.faults("host.shared.disk")
            self._provide_disk(spec, files)
            with_volumes(spec, files, parts)
            parts.faults("host.shared.directories")
            files.make_shared()
            for directory in spec.shared:
                self._share(spec, directory, files)
            parts.faults("host.shared.group")
            parts.cgroups.make(spec.id, resources(spec, bundle.host_traits(parts.cgroups)))
            self._open_door(spec, files)
        finally:
            network.result()
        parts.faults("host.shared.ready")
        files.write_main(MainProcess(0, 0, time.time()))

    def _share(self, spec: MachineSpec, directory: SharedDirectory, files: MachineFiles) -> None:
        """Mount a directory for the machine's containers."""
        parts, place = self._parts, files.shared / directory.name
        place.mkdir(mode=0o700, exist_ok=True)
        if directory.storage_type != "image":
            size = directory.size_mb
            parts.disks.mount_temporary(spec.id, directory.name, directory.storage_type, size, place)
            return
        userns = parts.namespaces.idmap(spec.slot)
        try:
            root_fs.show_image(directory.layers, place, files, userns)
        finally:
            os.close(userns)

    def _begin(self, spec: MachineSpec, files: MachineFiles) -> Future[None]:
        """Write the record and pin the namespaces; their addresses are set meanwhile."""
        parts = self._parts
        parts.faults("host.start.namespaces")
        pair, link = parts.namespaces.take()
        try:
            parts.faults("host.start.record")
            files.make(Record(spec.slot, link, spec.isolation, spec.builder, bool(spec.containers)))
            pair.pin(spec.slot, files.user_namespace, files.network_namespace)
        except BaseException:
            pair.close()
            raise
        parts.faults("host.start.network")
        parts.network.limit(spec.id, spec.ipv4, spec.ipv6, spec.allowed)
        return parts.beside.submit(
            parts.network.assign, files.network_namespace, link, spec.network, spec.ipv4, spec.ipv6
        )

    def _create(self, spec: MachineSpec, runtime: Runtime, files: MachineFiles) -> int:
        """Make the machine's root and its container; return the pid that will become the main process."""
        parts = self._parts
        parts.faults("host.start.disk")
        self._provide_disk(spec, files)
        spec = with_volumes(spec, files, parts)
        parts.faults("host.start.root")
        userns = parts.namespaces.idmap(spec.slot)
        try:
            texts = bundle.etc(spec, parts.nameservers())
            root_fs.assemble(spec, files, userns, {} if spec.builder else texts)
            root_files.write(spec, files.root)
            spec = replace(spec, binds=spec.binds + root_files.secret_binds(spec, files.secrets))
            binds = root_fs.attach_binds(spec, files, userns)
        finally:
            os.close(userns)
        parts.faults("host.start.bundle")
        self._open_door(spec, files)
        bundle.write(spec, files, binds, texts if spec.builder else {}, parts.cgroups)
        parts.faults("host.start.create")
        return runtime.create(files, parts.log(spec.id).prepare(), tty=spec.tty)

    def _provide_disk(self, spec: MachineSpec, files: MachineFiles) -> None:
        """Mount the machine's disk: the one that an earlier run left where that is asked for, else an empty one."""
        parts, origin = self._parts, kept_roots.origin(spec)
        if not (spec.keep_root and kept_roots.take(parts.disks, spec.id, files.disk, origin)):
            parts.spare_disks.provide(spec.id, spec.disk_gb, files.disk)
            if spec.keep_root:
                kept_roots.sign(files.disk, origin)

    def _open_door(self, spec: MachineSpec, files: MachineFiles) -> None:
        if self._parts.doors and spec.isolation == "crun" and not spec.builder:
            files.door.mkdir(mode=0o755)
            self._parts.doors.open(spec.id, files.door)


def with_volumes(spec: MachineSpec, files: MachineFiles, parts: Parts) -> MachineSpec:
    """Mount the machine's volumes; return the spec in which they are binds like any other."""
    for volume in spec.volumes:
        parts.volumes.mount(volume.volume_id, files.volumes / volume.volume_id)
    return as_binds(spec, files)


def as_binds(spec: MachineSpec, files: MachineFiles) -> MachineSpec:
    """Return the spec in which the machine's volumes, mounted, are binds like any other."""
    volumes = (BindMount(files.volumes / v.volume_id, v.target, read_only=False) for v in spec.volumes)
    return replace(spec, binds=(*spec.binds, *volumes))
