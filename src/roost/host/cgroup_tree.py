"""The kernel's trees of control groups, of version 1, version 2 and both at once: where they are, how they are written.

Nothing here knows what a group is for. Removing what isn't there is no error, and every wait for the kernel is bounded.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Mapping
from pathlib import Path

from roost.host import mounts
from roost.model.errors import HostFailure

ROOT = Path("/sys/fs/cgroup")
_REMOVE_TIMEOUT = 10.0
_PAUSES = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01)  # seconds between looks; the last one repeats


def ensure_hierarchies(root: Path = ROOT) -> None:
    """Put right a hybrid host on which crun can't work: mount the hugetlb hierarchy of version 1 where it is missing.

    crun takes the set of version 1 hierarchies from /proc/cgroups and fails on one that isn't mounted.
    """
    listed = hierarchies(root)
    if "memory" not in listed or "hugetlb" in listed:
        return
    known = [line.split() for line in read(Path("/proc/cgroups")).splitlines()]
    if not any(row[0] == "hugetlb" and row[-1] == "1" for row in known if row):
        return
    target = root / "hugetlb"
    try:
        target.mkdir(exist_ok=True)
        mounts.mount("cgroup", target, "cgroup", mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC, "hugetlb")
    except OSError as error:
        raise HostFailure(f"can't mount the hugetlb cgroup hierarchy: {error.strerror}") from None


def delegate(root: Path, name: str, controllers: tuple[str, ...]) -> None:
    """Let the groups along the way to `name`, and those below it, have limits (version 2)."""
    place = root
    for part in ("", *Path(name).parts):
        place /= part
        for controller in controllers:
            with contextlib.suppress(OSError):  # the limit's own file tells when it was of no use
                write(place / "cgroup.subtree_control", f"+{controller}")


def hierarchies(root: Path) -> dict[str, Path]:
    """Return the mounted hierarchies below `root` by controller; "" is version 2's."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        point, words = Path(fields.split()[4]), rest.split()
        if point != root and root not in point.parents:
            continue
        if words[0] == "cgroup2":
            found.setdefault("", point)
        elif words[0] == "cgroup":
            for option in words[2].split(","):
                if option not in ("rw", "ro"):
                    found.setdefault(option, point)
    return found


def is_unified(trees: Mapping[str, Path]) -> bool:
    """Say whether version 2 alone limits and freezes, of what `hierarchies` found."""
    return "freezer" not in trees and "" in trees


def tree_of(controller: str, trees: Mapping[str, Path]) -> Path:
    """Return the tree that has a controller, of what `hierarchies` found; raises HostFailure where none has."""
    found = trees.get("" if is_unified(trees) else controller)
    if found is None:
        raise HostFailure(
            f"the host has no cgroup controller {controller!r}", hint="`roost doctor` lists what is missing"
        )
    return found


def remove_tree(group: Path) -> None:
    """Remove a group and those below it; raises HostFailure when one is busy for long."""
    for directory in [*reversed(descendants(group)), group]:
        for pause in pauses(time.monotonic() + _REMOVE_TIMEOUT):
            try:
                directory.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError as error:  # the last process is still being buried
                if error.errno != errno.EBUSY:
                    raise HostFailure(f"can't remove cgroup {directory}: {error.strerror}") from None
                time.sleep(pause)
        else:
            raise HostFailure(f"can't remove cgroup {directory}: it is busy", hint=f"see {directory}/cgroup.procs")


def descendants(group: Path) -> list[Path]:
    """Return the groups below `group`, outer before inner."""
    return [Path(path) / name for path, names, _ in os.walk(group) for name in names]


def pauses(deadline: float) -> list[float]:
    """Return pauses in seconds that reach `deadline`."""
    left, found = deadline - time.monotonic(), list[float]()
    while left > 0:
        found.append(_PAUSES[min(len(found), len(_PAUSES) - 1)])
        left -= found[-1]
    return found


def read(path: Path) -> str:
    """Return what a group's file says, "" when it can't be read."""
    try:
        return path.read_text()
    except (FileNotFoundError, OSError):
        return ""


def write(path: Path, value: str) -> None:
    """Write to a group's file; raises OSError, also when there is none."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # never creates
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
