"""Control groups of machines, on version 1, version 2 and the hybrid of both.

State: the kernel's cgroup trees; a machine's group is CLOUD/MACHINE in every hierarchy, made and given
its limits by crun. That of a machine with several containers is made here, and each container has a group
of its own, CLOUD/MACHINE/CONTAINER, which may be given where a machine is asked for. Roost itself freezes,
thaws, reads, kills and removes by direct writes. Invariants: every wait for the kernel is bounded; whatever
fails, a group that was frozen to be killed is thawed; removing what isn't there is no error. After a kill
half-way a group may be left frozen: `thaw` or `kill_all` puts that right.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

from roost.host.cgroup_tree import (
    ROOT,
    delegate,
    descendants,
    hierarchies,
    is_unified,
    pauses,
    read,
    remove_tree,
    tree_of,
    write,
)
from roost.model.errors import FailedPrecondition, HostFailure, TimedOut

_FREEZE_TIMEOUT = 5.0
_KILL_TIMEOUT = 10.0


class Cgroups:
    """The groups of one cloud. `parent` is relative to each hierarchy's root."""

    def __init__(self, parent: str, root: Path = ROOT) -> None:
        self._parent = parent
        self._hierarchies = hierarchies(root)
        self.unified = is_unified(self._hierarchies)

    @property
    def limits_swap(self) -> bool:
        """Whether memory and swap together can be limited here."""
        if self.unified:
            return True
        return (self._hierarchies.get("memory", ROOT) / "memory.memsw.limit_in_bytes").exists()

    def name(self, machine_id: str) -> str:
        """Return a machine's group, relative to each hierarchy's root."""
        return f"{self._parent}/{machine_id}"

    def make(self, machine_id: str, resources: dict[str, Any]) -> None:
        """Make a group for what several containers use together; `resources` as in an OCI configuration."""
        limits = _limits(resources, unified=self.unified)
        for controller in ("freezer", *limits):
            group = self._group(controller, machine_id)
            group.mkdir(parents=True, exist_ok=True)
        if self.unified:
            delegate(self._hierarchies[""], self.name(machine_id), tuple(limits))
        for controller, files in limits.items():
            for name, value in files.items():
                place = self._group(controller, machine_id) / name
                try:
                    if place.exists():
                        write(place, value)
                except OSError as error:
                    raise HostFailure(f"can't limit machine {machine_id}: {name}: {error.strerror}") from None

    def machines(self) -> list[str]:
        """Return the machines that have a group."""
        parent = self._group("freezer", "").parent / self._parent
        return [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []

    def freeze(self, machine_id: str) -> None:
        """Stop all processes of a machine; returns when they stand still. Raises HostFailure, TimedOut."""
        self._set_frozen(machine_id, True)

    def thaw(self, machine_id: str) -> None:
        """Let all processes of a machine run; returns when they do. Raises HostFailure, TimedOut."""
        self._set_frozen(machine_id, False)

    def is_frozen(self, machine_id: str) -> bool:
        """Say whether a machine stands still; False when it has no group."""
        group = self._group("freezer", machine_id)
        if self.unified:
            return "frozen 1" in read(group / "cgroup.events")
        return read(group / "freezer.state").strip() == "FROZEN"

    def oom_kills(self, machine_id: str) -> int:
        """Return how many of a machine's processes were killed because it reached its memory limit."""
        group = self._group("memory", machine_id)
        return _field(read(group / ("memory.events" if self.unified else "memory.oom_control")), "oom_kill")

    def processes(self, machine_id: str) -> list[int]:
        """Return the process ids in a machine's group."""
        found: list[int] = []
        group = self._group("freezer", machine_id)
        for directory in [group, *descendants(group)]:
            found += [int(word) for word in read(directory / "cgroup.procs").split()]
        return found

    def usage(self, machine_id: str) -> tuple[int, float, int]:
        """Return (memory in bytes, CPU time in seconds, number of processes)."""
        memory = self._group("memory", machine_id)
        if self.unified:
            used = _number(read(memory / "memory.current"))
            cached = _field(read(memory / "memory.stat"), "inactive_file")
            seconds = _field(read(memory / "cpu.stat"), "usage_usec") / 1e6
        else:
            used = _number(read(memory / "memory.usage_in_bytes"))
            cached = _field(read(memory / "memory.stat"), "total_inactive_file")
            seconds = _number(read(self._group("cpuacct", machine_id) / "cpuacct.usage")) / 1e9
        pids = _number(read(self._group("pids", machine_id) / "pids.current"))
        return max(0, used - cached), seconds, pids

    def memory_limit(self, machine_id: str) -> int:
        """Return how many bytes a machine may use; 0 when there is no limit."""
        return _number(read(self._group("memory", machine_id) / self._limit_files[0]))

    def set_memory_limit(self, machine_id: str, limit: int) -> None:
        """Let a machine use so many bytes, swap included; raises FailedPrecondition when it uses more already."""
        group = self._group("memory", machine_id)
        if self.usage(machine_id)[0] > limit:
            raise _uses_more(machine_id, limit)
        names = [name for name in self._limit_files if (group / name).exists()]
        before = self.memory_limit(machine_id)
        swap = max(0, _number(read(group / names[-1])) - before)  # version 1 counts it together with memory
        if limit > before:
            names.reverse()  # version 1: the limit with swap is never the smaller one
        for name in names:
            try:
                write(group / name, str(limit + (swap if name.startswith("memory.memsw") else 0)))
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise HostFailure(f"can't set the memory of machine {machine_id}: {error.strerror}") from None
                raise _uses_more(machine_id, limit) from None

    @property
    def _limit_files(self) -> tuple[str, ...]:
        if self.unified:
            return ("memory.max",)
        return ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")

    def reclaim(self, machine_id: str, amount: int) -> int:
        """Take about so many bytes of memory from a machine that it can do without; returns how many it was.

        Version 1 knows no amount: there it is all that can be had.
        """
        group = self._group("memory", machine_id)
        before = self.usage(machine_id)[0] + self._cached(machine_id)
        name, value = ("memory.reclaim", str(amount)) if self.unified else ("memory.force_empty", "0")
        try:
            write(group / name, value)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EBUSY):  # some of it could not be had
                raise HostFailure(f"can't reclaim memory of machine {machine_id}: {error.strerror}") from None
        return max(0, before - self.usage(machine_id)[0] - self._cached(machine_id))

    def _cached(self, machine_id: str) -> int:
        """Return the bytes of files that are cached and not in use: `usage` does not count them."""
        key = "inactive_file" if self.unified else "total_inactive_file"
        return _field(read(self._group("memory", machine_id) / "memory.stat"), key)

    def kill_all(self, machine_id: str) -> None:
        """Kill every process of a machine, frozen or not; raises TimedOut when some won't die."""
        group = self._group("freezer", machine_id)
        if not group.is_dir():
            return
        if self.unified and (group / "cgroup.kill").exists():
            write(group / "cgroup.kill", "1")
            with contextlib.suppress(OSError):  # an older kernel kills frozen processes only once thawed
                write(group / "cgroup.freeze", "0")
        deadline = time.monotonic() + _KILL_TIMEOUT
        for pause in pauses(deadline):
            pids = self.processes(machine_id)
            if not pids:
                return
            self._kill_standing_still(machine_id, pids)
            time.sleep(pause)
        raise TimedOut(
            f"machine {machine_id} has processes that don't die: {self.processes(machine_id)[:5]}",
            hint="they wait in the kernel, often for a disk: look at /proc/PID/stack",
        )

    def remove(self, machine_id: str) -> None:
        """Remove a machine's groups, which hold no process any more; raises HostFailure."""
        for controller in self._hierarchies:
            remove_tree(self._group(controller, machine_id))

    def remove_parent(self) -> None:
        """Remove the cloud's own groups, once those of its machines are gone."""
        for root in self._hierarchies.values():
            remove_tree(root / self._parent)

    def _kill_standing_still(self, machine_id: str, pids: list[int]) -> None:
        """Kill all at once: frozen, so that none can make children meanwhile."""
        try:
            with contextlib.suppress(TimedOut, HostFailure):
                if not self.is_frozen(machine_id):
                    self.freeze(machine_id)
                pids = self.processes(machine_id)
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            with contextlib.suppress(TimedOut, HostFailure):
                self.thaw(machine_id)

    def _set_frozen(self, machine_id: str, frozen: bool) -> None:
        group = self._group("freezer", machine_id)
        name, value = (
            ("cgroup.freeze", str(int(frozen))) if self.unified else ("freezer.state", ("THAWED", "FROZEN")[frozen])
        )
        verb = "freeze" if frozen else "thaw"
        for pause in pauses(time.monotonic() + _FREEZE_TIMEOUT):
            try:
                write(group / name, value)  # version 1 needs the write again when a new process came in between
            except FileNotFoundError:
                raise HostFailure(f"can't {verb} machine {machine_id}: it has no process") from None
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.EINTR):
                    raise HostFailure(f"can't {verb} machine {machine_id}: {error.strerror}") from None
            if self.is_frozen(machine_id) is frozen:
                return
            time.sleep(pause)
        raise TimedOut(f"machine {machine_id} did not {verb} within {_FREEZE_TIMEOUT:g} s")

    def _group(self, controller: str, machine_id: str) -> Path:
        return tree_of(controller, self._hierarchies) / self._parent / machine_id


def _limits(resources: dict[str, Any], *, unified: bool) -> dict[str, dict[str, str]]:
    """Return the files to write for OCI resources, in order, by controller."""
    memory, cpu, pids = resources["memory"]["limit"], resources["cpu"], str(resources["pids"]["limit"])
    quota, period = cpu.get("quota"), cpu.get("period", 100_000)
    if unified:
        weight = 1 + (cpu["shares"] - 2) * 9999 // 262142  # as the runtime converts it
        return {
            "memory": {"memory.max": str(memory)} | ({"memory.swap.max": "0"} if "swap" in resources["memory"] else {}),
            "pids": {"pids.max": pids},
            "cpu": {"cpu.weight": str(weight)} | ({"cpu.max": f"{quota} {period}"} if quota else {}),
        }
    swap = resources["memory"].get("swap")
    return {
        "memory": {"memory.limit_in_bytes": str(memory)} | ({"memory.memsw.limit_in_bytes": str(swap)} if swap else {}),
        "pids": {"pids.max": pids},
        "cpu": {"cpu.shares": str(cpu["shares"])}
        | ({"cpu.cfs_period_us": str(period), "cpu.cfs_quota_us": str(quota)} if quota else {}),
    }


def _uses_more(machine_id: str, limit: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"failed_precondition: machine {machine_id} uses more than {limit >> 20} MB now",
        hint="ask for more, or let the program give memory back first",
    )


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else 0


def _field(text: str, name: str) -> int:
    rows = (line.split() for line in text.splitlines())
    return next((int(row[1]) for row in rows if len(row) == 2 and row[0] == name), 0)
