"""Many apps: how soon a change of a route counts while 10,000 are awake, what an awake app costs, and a sleeping one.

Awake: the edge alone in front of two small backends, with one cell and with three; a change counts as effective when a
request is answered by the other backend. Asleep: a cloud whose database is given 100,000 apps with a stopped machine
each, started anew; the memory of roostd and Envoy beside the same cloud without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import cells as cells_bench
import harness
from cells_parts import ask
from density import add, settled_memory
from harness import Report, say

from roost.edge.edge import EnvoyEdge


def _memory(edge: EnvoyEdge) -> int:
    """Return the bytes that the cells have for themselves."""
    detail = edge.status().detail
    cells: Any = detail.get("cells") or [{"name": "0", "pid": edge.status().pid}]
    total = 0
    for cell in cells:
        text = Path(f"/proc/{cell['pid']}/smaps_rollup").read_text()
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_Dirty")) << 10
    return total


async def _awake(report: Report, cells: int, apps: int, changes: int) -> None:
    """Many awake apps: how long a change takes until it counts, and what an app costs in memory."""
    say(f"cells: {apps} awake apps in {cells}")
    with cells_bench._backends("one", "two") as (one, two):
        async with cells_bench._edge(cells) as (edge, port):
            empty = _memory(edge)
            orgs = max(10, apps // 10)
            await edge.replace_all([cells_bench._route(f"app{n}", f"org{n % orgs}", one) for n in range(apps)])
            await asyncio.sleep(2.0)
            per_app = (_memory(edge) - empty) / apps
            times = []
            for number in range(changes):
                app, org = f"app{number}", f"org{number % orgs}"
                began = time.perf_counter()
                await edge.put(cells_bench._route(app, org, two))
                while await ask(port, f"{app}.localhost") != b"two":
                    await asyncio.sleep(0.001)
                times.append((time.perf_counter() - began) * 1000)
            report.series(f"{apps} awake apps, {cells} cells: change to effective", times)
            report.detail[f"{cells} cells"] = {
                "p99_ms": cells_bench._p99(times),
                "bytes_per_awake_app": per_app,
                "empty": empty,
            }
            report.goal(f"{cells} cells: p99 of change to effective", cells_bench._p99(times), 300.0, "ms")
            report.detail.setdefault("notes", []).append(
                f"{cells} cells: {per_app / 1024:.1f} KB per awake app, in all"
            )


def _fill(home: Path, apps: int) -> None:
    """Give a cloud that is down so many apps, each like its only one and with a machine of its own."""
    unlike = {
        "apps": {"name": "'asleep-' || n", "id": "'app' || n", "number": "n + 1000"},
        "machines": {"id": "printf('%014x', n + 4096)", "app": "'asleep-' || n", "slot": "n + 1000"},
    }
    with contextlib.closing(sqlite3.connect(home / "state.db")) as link:
        for table, changes in unlike.items():
            columns = [row[1] for row in link.execute(f"pragma table_info({table})")]
            values = ", ".join(changes.get(column, f'"{column}"') for column in columns)
            names = ", ".join(f'"{column}"' for column in columns)
            link.execute(
                f"with recursive counted(n) as (select 1 union all select n + 1 from counted where n < {apps}) "
                f"insert into {table} ({names}) select {values} from counted, (select * from {table} limit 1)"
            )
        link.commit()


def _asleep(report: Report, apps: int) -> None:
    """Many sleeping apps: what they add to roostd and Envoy, and to `roost up`."""
    say(f"routes: {apps} sleeping apps")
    with harness.cloud() as cloud:
        add(cloud, 0, 1, launch=False)
        cloud.down()
        empty_up = cloud.up()
        roostd, envoy = cloud.pids()
        before, envoy_before = settled_memory(roostd), settled_memory(envoy)
        cloud.down()
        _fill(cloud.home, apps)
        full_up = cloud.up()
        roostd, envoy = cloud.pids()
        after, envoy_after = settled_memory(roostd), settled_memory(envoy)
        routes = cloud.call("GET", "/status")["edge"]["routes"]
        began = time.perf_counter()
        cloud.call("GET", f"/apps/asleep-{apps // 2}")
        looked = (time.perf_counter() - began) * 1000
    report.series(f"roostd with 1 app and with {apps} asleep", [before / 1024, after / 1024], "MB")
    report.series("looking at one of them (1 API call)", [looked])
    report.series("`roost up` without them", [empty_up], "s")
    report.series("`roost up` with them", [full_up], "s")
    report.goal(f"Envoy's growth by {apps} sleeping apps", envoy_after - envoy_before, 1024, "kB")
    report.goal("routes in Envoy", routes, 0)
    report.goal("roostd's growth per sleeping app", (after - before) / apps, 20, "kB")


def measure(report: Report, quick: bool) -> None:
    for cells in (1, 3):
        asyncio.run(_awake(report, cells, 500 if quick else 10_000, 10 if quick else 200))
    _asleep(report, 1000 if quick else 100_000)


if __name__ == "__main__":
    sys.exit(harness.main("routes", measure, __doc__))
