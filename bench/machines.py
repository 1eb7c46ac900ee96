"""Throughput of the machines API: 200 machines made, started, listed and destroyed; a list of 5,000 rows.

The calls come one after the other on one connection, then from eight clients at once. Afterwards the host must be
as before: what machines have on it is counted, down to the pool's megabytes. The 5,000 machines of the
list are rows only (`skip_launch`), copied in the cloud's own database while roostd is down.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
from harness import Cloud, Report, say

_CLIENTS = 8
_ROWS = 5000


def leftovers(cloud: Cloud) -> dict[str, int]:
    """Count what the cloud's machines have on the host now."""
    cloud_id, home = str(cloud.call("GET", "/status")["id"]), str(cloud.home)
    ours = re.compile(f"{re.escape(home)}|{cloud_id}")
    processes = [_text(path / "cmdline") for path in Path("/proc").iterdir() if path.name.isdigit()]
    return {
        "mounts": sum(bool(ours.search(line)) for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "processes": sum(bool(ours.search(line)) for line in processes),
        "links": sum(cloud_id in path.name for path in Path("/sys/class/net").iterdir()),
        "loop devices": sum(home in _text(path) for path in Path("/sys/block").glob("loop*/loop/backing_file")),
        "control groups": sum(1 for _ in Path("/sys/fs/cgroup").glob(f"**/roost-{cloud_id}/**/")),
        "packet filter lines": len(_printed("nft", "list", "table", "inet", f"roost_{cloud_id}").splitlines()),
        "run directories": sum(1 for _ in Path(f"/run/roost/{cloud_id}/m").glob("*")),
        "disks": sum(1 for _ in (cloud.home / "pool" / "disks").glob("*")),
        "megabytes on the pool": _used(cloud.home / "pool") >> 20,
    }


def _used(place: Path) -> int:
    seen = os.statvfs(place)
    return (seen.f_blocks - seen.f_bfree) * seen.f_frsize


def _printed(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _settled(cloud: Cloud) -> dict[str, int]:
    """Return the counts once they stay for three seconds (disks kept ready are made meanwhile), or after 30 s."""
    deadline, last, since = time.monotonic() + 30, leftovers(cloud), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < 3:
        time.sleep(0.2)
        if (now := leftovers(cloud)) != last:
            last, since = now, time.monotonic()
    return last


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended
        return ""


def timed(calls: list[Callable[[], Any]], clients: int) -> tuple[float, list[float], list[Any]]:
    """Make the calls; returns the seconds of all, the milliseconds of each, and the answers."""

    def one(call: Callable[[], Any]) -> tuple[float, Any]:
        began = time.perf_counter()
        answer = call()
        return (time.perf_counter() - began) * 1000, answer

    began = time.perf_counter()
    if clients == 1:
        done = [one(call) for call in calls]
    else:
        with ThreadPoolExecutor(clients) as pool:
            done = list(pool.map(one, calls))
    return time.perf_counter() - began, [took for took, _ in done], [answer for _, answer in done]


def rounds(cloud: Cloud, report: Report, count: int, clients: int) -> None:
    """Create, start, list and destroy so many machines, and add each phase's row."""
    app, body = f"many-{clients}", {"config": {"image": harness.IMAGE, "init": {"exec": ["/bin/sleep", "inf"]}}}
    cloud.call("POST", "/apps", {"name": app})
    links = [replace(cloud, _link=None) for _ in range(clients)]  # a connection belongs to one thread at a time
    base = f"/apps/{app}/machines"

    def every(method: str, paths: list[str], content: Any = None) -> list[Callable[[], Any]]:
        free: queue.Queue[Cloud] = queue.Queue()
        for link in links:
            free.put(link)

        def call(path: str) -> Any:
            link = free.get()
            try:
                return link.call(method, path, content)
            finally:
                free.put(link)

        return [lambda path=path: call(path) for path in paths]  # type: ignore[misc]

    who = "one after the other" if clients == 1 else f"{clients} clients at once"
    phases: list[tuple[str, Callable[[], list[Callable[[], Any]]]]] = []
    ids: list[str] = []
    phases = [
        ("create", lambda: every("POST", [base] * count, body | {"skip_launch": True})),
        ("start", lambda: every("POST", [f"{base}/{key}/start" for key in ids])),
        ("list all", lambda: every("GET", [base] * 5)),
        ("destroy", lambda: every("DELETE", [f"{base}/{key}?force=true" for key in ids])),
    ]
    for name, calls in phases:
        seconds, each, answers = timed(calls(), clients)
        if name == "create":
            ids = [answer["id"] for answer in answers]
        per_second = len(each) / seconds
        say(f"{name} ({who}): {len(each)} in {seconds:.1f} s, median {statistics.median(each):.1f} ms")
        report.series(f"{name}, {who} ({per_second:.0f} a second)", each)
    cloud.call("DELETE", f"/apps/{app}?force=true")


def fetch(cloud: Cloud, path: str) -> tuple[float, bytes]:
    """Return the milliseconds from the request to the last byte of its answer, and the answer."""
    token = (cloud.home / "keys" / "cli.token").read_text().strip()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", cloud.api_port, timeout=120)) as link:
        began = time.perf_counter()
        link.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        body = link.getresponse().read()
        return (time.perf_counter() - began) * 1000, body


def add_rows(cloud: Cloud, app: str, count: int) -> None:
    """Make `count` machines of one that exists, as rows, with their events."""
    cloud.down()
    with sqlite3.connect(cloud.home / "state.db") as link:
        link.row_factory = sqlite3.Row
        row = dict(link.execute("SELECT * FROM machines WHERE app = ?", (app,)).fetchone())
        events = [dict(found) for found in link.execute("SELECT * FROM events WHERE machine_id = ?", (row["id"],))]
        config = json.loads(row["config"])
        for number in range(1, count):
            key = f"{number:014x}"
            own = {"config": json.dumps(config | {"metadata": {"number": str(number)}})}  # as those of many users: no
            own |= {at: row[at] + number * 0.01 for at in ("created_at", "updated_at")}  # two rows are alike
            _insert(link, "machines", row | own | {"id": key, "name": f"m{number}", "slot": row["slot"] + number})
            for event in events:
                _insert(link, "events", event | {"id": event["id"][:18] + f"{number:08d}", "machine_id": key})
    link.close()
    cloud.up()


def _insert(link: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    marks = ",".join("?" * len(row))
    link.execute(f"INSERT OR IGNORE INTO {table} ({','.join(row)}) VALUES ({marks})", tuple(row.values()))


def measure(report: Report, quick: bool) -> None:
    """Measure."""
    count = 20 if quick else 200
    with harness.cloud() as cloud:
        cloud.call("POST", "/apps", {"name": "warm"})
        made = cloud.call("POST", "/apps/warm/machines", {"config": {"image": harness.IMAGE}})
        cloud.call("DELETE", f"/apps/warm/machines/{made['id']}?force=true")
        before = _settled(cloud)
        for clients in (1, _CLIENTS):
            rounds(cloud, report, count, clients)
        after = _settled(cloud)
        report.detail["host"] = {"before": before, "after": after}
        report.detail["notes"] = [f"host before {json.dumps(before)}", f"host after  {json.dumps(after)}"]
        leaked = sum(max(0, after[key] - before[key]) for key in before)
        report.goal("things that stay on the host after the machines", leaked, 0)
        say(f"adding {_ROWS} rows")
        cloud.call("POST", "/apps", {"name": "rows"})
        cloud.call("POST", "/apps/rows/machines", {"config": harness.machine_config(), "skip_launch": True})
        add_rows(cloud, "rows", _ROWS)
        for what, query, goal in (("in short", "?summary=true", True), ("whole, with events and checks", "", False)):
            first, each, parsed = 0.0, [], []
            for number in range(4 if quick else 12):
                took, body = fetch(cloud, f"/v1/apps/rows/machines{query}")
                began = time.perf_counter()
                listed = json.loads(body)
                parsing = (time.perf_counter() - began) * 1000
                if len(listed) != _ROWS:
                    raise RuntimeError(f"{len(listed)} machines are listed, not {_ROWS}")
                if number:
                    each.append(took)
                    parsed.append(took + parsing)
                else:
                    first = took
            median = report.series(f"list of {_ROWS} machines {what}, to the last byte", each)
            report.series(f"list of {_ROWS} machines {what}, parsed by a client in Python", parsed)
            if goal:
                report.series(f"list of {_ROWS} machines {what}, the first time after a start", [first])
                report.goal(f"list of {_ROWS} machines {what}, to the last byte", median, 100, "ms")


if __name__ == "__main__":
    sys.exit(harness.main("machines", measure, __doc__))
