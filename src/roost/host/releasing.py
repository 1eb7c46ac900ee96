"""Undoing a machine's run, whole or half-made.

State owned: none. Each step finds what is there and may run twice; the record goes last, so that a kill in
the middle is followed by another release.
"""

from __future__ import annotations

import contextlib

from roost.host import ending, main_process, mounts
from roost.host.machine_files import RunFiles
from roost.host.namespaces import unpin
from roost.host.parts import Parts
from roost.host.runtime import runtime_for
from roost.model.errors import BadInput

KILL_TIMEOUT = 10.0


def release(parts: Parts, machine_id: str, *, keep_root: bool = False) -> None:
    """Kill what runs and undo all of a run but its log, how it ended and, if so asked, its writable root.

    Finds things half-made.
    """
    files = parts.files(machine_id)
    if parts.doors:
        parts.doors.close(machine_id)
    record = files.record()
    parts.volumes.thaw(files.volumes)  # nothing that waits to write could be killed
    parts.cgroups.kill_all(machine_id)
    containers = files.containers()
    if record is not None and not record.several:
        _kill_uncounted(files)
        files.write_exit(ending.how(files, parts.cgroups))
        ending.see_out_monitor(files)
    for container in containers:
        _kill_uncounted(container)
        ending.see_out_monitor(container)
    parts.cgroups.remove(machine_id)
    for isolation in ("crun", "gvisor"):
        with contextlib.suppress(BadInput):
            runtime = runtime_for(isolation, parts.cloud.run)
            for run in (files, *containers):
                runtime.forget(run.runtime_id)
    unpin(files.user_namespace, files.network_namespace)
    if record is not None:
        parts.network.release(record.link)
    mounts.unmount(files.root)
    if files.disk.is_mount():
        (parts.disks.detach if keep_root else parts.disks.abandon)(files.disk)
    parts.volumes.release(files.volumes)
    for point in mounts.mounts_below(files.directory):
        mounts.unmount(point)
    (parts.disks.remove_temporary if keep_root else parts.disks.remove)(machine_id)
    files.forget_run()
    parts.network.unlimit(machine_id)


def _kill_uncounted(files: RunFiles) -> None:
    """Kill a first process that isn't in the machine's control group (a start that was killed half-way)."""
    main = files.main()
    if main is not None:
        main_process.kill(main, KILL_TIMEOUT)
