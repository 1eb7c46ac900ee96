"""What a sleeping app costs: memory of roostd and Envoy, rows in the database, seconds of `roost up`.

Two kinds of sleep: `stopped` apps exist as rows only, `suspended` ones keep their frozen processes as well.
Memory is anonymous memory (see `memory`). roostd's growth is taken in the running process, after calls of the
same kind have filled its caches, and once more between a fresh roostd without apps and one with all of them.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from pathlib import Path

import harness
from harness import Cloud, Report, say

_WARM_UP = 100  # apps that are made and removed before the first look


def memory(pid: int) -> float:
    """Return the kilobytes of a process's anonymous memory: what it wrote itself.

    Pages of files (programs, libraries) are left out: they are shared with other processes, and come and go
    with the page cache, so RSS and PSS change although the process does nothing.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return float(line.split()[1])
    raise RuntimeError(f"no memory figures of process {pid}")


def settled_memory(pid: int) -> float:
    """Return the memory once it has stayed within 64 kB for a second, or after 15 s."""
    deadline, last = time.monotonic() + 15, memory(pid)
    while time.monotonic() < deadline:
        time.sleep(1)
        now = memory(pid)
        if abs(now - last) < 64:
            return now
        last = now
    return last


def add(cloud: Cloud, first: int, count: int, *, launch: bool) -> list[tuple[str, str]]:
    """Make apps with one machine each; returns their names and machines."""
    made = []
    for number in range(first, first + count):
        app = f"app-{number}"
        cloud.call("POST", "/apps", {"name": app})
        body = {"config": harness.machine_config(), **({} if launch else {"skip_launch": True})}
        made.append((app, cloud.call("POST", f"/apps/{app}/machines", body)["id"]))
    return made


def children_memory(cloud: Cloud) -> float:
    """Return the kilobytes of the machines' processes and their monitors."""
    cloud_id = cloud.call("GET", "/status")["id"]
    pids = set()
    for tasks in Path("/sys/fs/cgroup").glob(f"**/roost-{cloud_id}/*/cgroup.procs"):
        pids |= {int(pid) for pid in tasks.read_text().split()}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if Path(words[0].decode()).name == "conmon" and f"/run/roost/{cloud_id}/".encode() in b"".join(words):
                    pids.add(int(entry.name))
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += memory(pid)
    return total


def database_kilobytes(cloud: Cloud) -> float:
    """Return the size of the database in use, free pages and the write-ahead log left out."""
    with contextlib.closing(sqlite3.connect(f"file:{cloud.home}/state.db?mode=ro", uri=True)) as link:
        pages, free, size = (
            link.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return float((pages - free) * size / 1024)


def up_in_turn(clouds: tuple[Cloud, Cloud], rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds of `roost up` after `roost down` of two clouds, in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for cloud, taken in zip(clouds, times, strict=True):
            cloud.down()
            taken.append(cloud.up())
    return times


def measure(report: Report, quick: bool) -> None:
    stopped, suspended, rounds = (200, 5, 1) if quick else (2000, 50, 7)
    with harness.cloud() as bare, harness.cloud() as cloud:
        _warm_up(cloud)
        roostd, envoy = cloud.pids()
        before, envoy_before, rows_before = settled_memory(roostd), memory(envoy), database_kilobytes(cloud)
        say(f"making {stopped} stopped apps")
        began = time.perf_counter()
        add(cloud, 0, stopped, launch=False)
        each = (time.perf_counter() - began) * 1000 / stopped
        after, envoy_after, rows_after = settled_memory(roostd), memory(envoy), database_kilobytes(cloud)
        reads = _reads(cloud, 20 if quick else 300)
        say("down and up")
        empty_up, full_up = up_in_turn((bare, cloud), rounds)
        fresh_empty, fresh_full = (settled_memory(one.pids()[0]) for one in (bare, cloud))
        bare.down()
        frozen = _suspended(cloud, stopped, suspended)
    report.series("roostd, no apps", [before / 1024], "MB")
    report.series(f"roostd, {stopped} stopped apps", [after / 1024], "MB")
    report.series("Envoy, no apps", [envoy_before / 1024], "MB")
    report.series(f"Envoy, {stopped} stopped apps", [envoy_after / 1024], "MB")
    report.series("database, per stopped app", [(rows_after - rows_before) / stopped], "kB")
    report.series("making one stopped app (2 API calls)", [each])
    report.series("looking at one app (1 API call)", reads)
    empty = report.series("`roost up`, no apps", empty_up, "s")
    full = report.series(f"`roost up`, {stopped} stopped apps", full_up, "s")
    for what, value in frozen.items():
        report.series(what, [value], "kB")
    report.goal("roostd per stopped app, while it runs", (after - before) / stopped, 20, "kB")
    report.goal("roostd per stopped app, started anew", (fresh_full - fresh_empty) / stopped, 20, "kB")
    report.goal(f"Envoy's growth by {stopped} stopped apps", envoy_after - envoy_before, 1024, "kB")
    report.goal("`roost up` with them / without", full / empty, 1.5)


def _reads(cloud: Cloud, count: int) -> list[float]:
    """Return the milliseconds of single reads of one app."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        cloud.call("GET", f"/apps/app-{number % 20}")
        times.append((time.perf_counter() - began) * 1000)
    return times


def _warm_up(cloud: Cloud) -> None:
    """Fill the caches of the calls that are used, and remove what was made."""
    for app, _machine in add(cloud, 1_000_000, _WARM_UP, launch=False):
        cloud.call("DELETE", f"/apps/{app}?force=true")


def _suspended(cloud: Cloud, first: int, count: int) -> dict[str, float]:
    """Make apps, let them serve once, suspend them; returns kilobytes by what grew, per app."""
    say(f"making {count} suspended apps")
    roostd, envoy = cloud.pids()
    app, machine = add(cloud, first, 1, launch=True)[0]  # the first start loads code
    cloud.call("DELETE", f"/apps/{app}/machines/{machine}?force=true")
    before, envoy_before, outside = settled_memory(roostd), memory(envoy), children_memory(cloud)
    made = add(cloud, first + 1, count, launch=True)
    for app, machine in made:
        harness.until_200(cloud.edge, cloud.host(app), patience=10)
        cloud.call("POST", f"/apps/{app}/machines/{machine}/suspend")
    return {
        "roostd, per suspended app": (settled_memory(roostd) - before) / count,
        "Envoy, per suspended app": (memory(envoy) - envoy_before) / count,
        "processes and monitor, per suspended app": (children_memory(cloud) - outside) / count,
    }


if __name__ == "__main__":
    sys.exit(harness.main("density", measure, __doc__))
