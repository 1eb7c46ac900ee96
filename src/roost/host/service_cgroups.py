"""Control groups of Roost's own processes, one for each process, beside each other directly below each tree's root.

They have no parent of their own on purpose: the kernel shares out processor time among neighbours, and a common parent
would be the neighbour of all else. Whatever a busy process in it had, the others in it would have had as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from roost.host.cgroup_tree import ROOT, delegate, hierarchies, is_unified, remove_tree, tree_of, write


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """What a process may have: a weight of processor time when all want it (100: the usual), bytes, and processes."""

    weight: int
    memory: int
    pids: int

    def files(self, *, unified: bool) -> dict[str, tuple[str, int]]:
        """Return the file to write, and what, by controller."""
        return {
            "memory": ("memory.max" if unified else "memory.limit_in_bytes", self.memory),
            "pids": ("pids.max", self.pids),
            "cpu": ("cpu.weight", self.weight) if unified else ("cpu.shares", self.weight * 1024 // 100),
        }


def confine(name: str, pid: int, limits: ServiceLimits) -> None:
    """Put a process into the group of this name, made where it is missing; raises HostFailure, OSError."""
    trees = hierarchies(ROOT)
    unified = is_unified(trees)
    files = limits.files(unified=unified)
    if unified:
        delegate(trees[""], "", tuple(files))
    for controller, (file, value) in files.items():
        group = tree_of(controller, trees) / name
        group.mkdir(exist_ok=True)
        write(group / file, str(value))
        write(group / "cgroup.procs", str(pid))


def remove(prefix: str) -> None:
    """Remove the groups whose names begin so, which hold no process any more; raises HostFailure."""
    for tree in set(hierarchies(ROOT).values()):
        for group in tree.glob(f"{prefix}*"):
            remove_tree(group)
