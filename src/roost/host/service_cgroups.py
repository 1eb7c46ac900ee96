"""Control groups of Roost's own processes, one for each process, beside each other directly below each tree's root.

They have no parent of their own on purpose: the kernel shares out processor time among neighbours, and a common parent
would be the neighbour of all else. Whatever a busy process in it had, the others in it would have had as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roost.host.cgroup_tree import ROOT, delegate, hierarchies, limit_files, remove_tree, write
from roost.model.errors import HostFailure


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """What a process may have: `shares` of processor time when all want it (1024: the usual), bytes, and processes."""

    shares: int
    memory: int
    pids: int


def confine(name: str, pid: int, allowed: ServiceLimits, root: Path = ROOT) -> None:
    """Put a process into the group of this name, made where it is missing; raises HostFailure, OSError."""
    trees = hierarchies(root)
    unified = "freezer" not in trees and "" in trees
    files = limit_files(
        {"memory": {"limit": allowed.memory}, "pids": {"limit": allowed.pids}, "cpu": {"shares": allowed.shares}},
        unified=unified,
    )
    if unified:
        delegate(trees[""], "", tuple(files))
    for controller, values in files.items():
        tree = trees.get("" if unified else controller)
        if tree is None:
            raise HostFailure(f"the host has no cgroup controller {controller!r}", hint="`roost doctor` lists it")
        group = tree / name
        group.mkdir(exist_ok=True)
        for file, value in values.items():
            write(group / file, value)
        write(group / "cgroup.procs", str(pid))


def remove(prefix: str, root: Path = ROOT) -> None:
    """Remove the groups whose names begin so, which hold no process any more; raises HostFailure."""
    for tree in set(hierarchies(root).values()):
        for group in tree.glob(f"{prefix}*"):
            remove_tree(group)
