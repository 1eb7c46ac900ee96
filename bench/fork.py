"""Forks and snapshots of a volume of 5 GB with 1 GB written to it, by API, while an app writes to it.

The app syncs after each line, so the longest pause between two of its lines tells how long a copy holds writes up.
What counts for a copy's time is how many extents there are, not how many bytes: 1 GB is written, not 5.
"""

from __future__ import annotations

import itertools
import sys
import time

import harness
from harness import IMAGE, Cloud, Report, say

APP = "forks"
WRITER = (
    "dd if=/dev/zero of=/data/big bs=1M count=1000 conv=fsync 2>/dev/null; "
    "while true; do date +%s%N >> /data/log; sync /data/log; done"
)


def lines(cloud: Cloud, machine: str) -> list[int]:
    """Return when the app wrote its lines, in nanoseconds."""
    said = cloud.call("POST", f"/apps/{APP}/machines/{machine}/exec", {"command": ["tail", "-n", "5000", "/data/log"]})
    return [int(line) for line in said["stdout"].split()[:-1]]


def longest_pause(stamps: list[int], since: float, until: float) -> float:
    """Return the longest time between two lines, in milliseconds, of those around a span of Unix times."""
    kept = [stamp / 1e9 for stamp in stamps if since - 0.5 <= stamp / 1e9 <= until + 0.5]
    return max((b - a for a, b in itertools.pairwise(kept)), default=0.0) * 1000


def measure(report: Report, quick: bool) -> None:
    rounds = 5 if quick else 40
    with harness.cloud() as cloud:
        cloud.call("POST", "/apps", {"name": APP})
        volume = cloud.call("POST", f"/apps/{APP}/volumes", {"name": "data", "size_gb": 5})["id"]
        config = {
            "image": IMAGE,
            "init": {"exec": ["/bin/sh", "-c", WRITER]},
            "mounts": [{"volume": volume, "path": "/data"}],
        }
        machine = cloud.call("POST", f"/apps/{APP}/machines", {"config": config})["id"]
        say("writing 1 GB")
        while not lines(cloud, machine):
            time.sleep(0.5)
        forks, snapshots, pauses = [], [], []
        say(f"{rounds} forks and snapshots")
        for _ in range(rounds):
            since, began = time.time(), time.monotonic()
            made = cloud.call("POST", f"/apps/{APP}/volumes", {"name": "copy", "source_volume_id": volume})["id"]
            forks.append((time.monotonic() - began) * 1000)
            began = time.monotonic()
            cloud.call("POST", f"/apps/{APP}/volumes/{volume}/snapshots")
            snapshots.append((time.monotonic() - began) * 1000)
            until = time.time()
            time.sleep(0.2)
            pauses.append(longest_pause(lines(cloud, machine), since, until))
            cloud.call("DELETE", f"/apps/{APP}/volumes/{made}")
        report.series("fork of a volume in use, by API", forks)
        report.series("snapshot of a volume in use, by API", snapshots)
        report.series("longest pause of the writer meanwhile", pauses)
        report.goal("slowest fork", max(forks), 250, "ms")


if __name__ == "__main__":
    sys.exit(harness.main("fork", measure, __doc__))
