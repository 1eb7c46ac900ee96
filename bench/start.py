"""From "create" to the first HTTP answer of a cached image: Roost, bare crun, podman.

The same server from the same files in all three, in turn (A B C A B C). Roost's figure begins at the API call
and ends with the first 200 from the machine's address; a second one ends with the first 200 through Envoy by
host name. podman runs with its default bridge and a published port; bare crun on the host's network.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
from harness import APP_PORT, IMAGE, Cloud, Report, say
from peers import Crun, Podman, image_root
from phases import host_phases


def ours(cloud: Cloud, app: str, *, by_name: bool) -> tuple[float, float, dict[str, float]]:
    """Create a machine; returns ms to the first answer, ms to the API's answer, and ms between its events."""
    called, began = time.time(), time.perf_counter()
    machine = cloud.call("POST", f"/apps/{app}/machines", {"config": harness.machine_config()})
    answered, answered_at = time.perf_counter(), time.time()
    if by_name:
        harness.timed_get(cloud.edge, cloud.host(app))
    else:
        harness.until_200((machine["private_ipv4"], APP_PORT))
    first = time.perf_counter()
    cloud.call("DELETE", f"/apps/{app}/machines/{machine['id']}?force=true")
    at = {event["status"]: float(event["timestamp"]) for event in machine["events"]}  # ms of Unix time
    between = {
        "call to starting": at["starting"] - called * 1000,
        "starting to started": at["started"] - at["starting"],
        "started to the API's answer": answered_at * 1000 - at["started"],
        "the API's answer to the first of the app": (first - answered) * 1000,
    }
    return (first - began) * 1000, (answered - began) * 1000, between


def measure(report: Report, quick: bool) -> None:
    rounds = 4 if quick else 30
    with harness.cloud() as cloud, tempfile.TemporaryDirectory(prefix="roost-peers-", dir="/var/tmp") as place:
        layer = next(i for i in cloud.call("GET", "/images") if i["reference"] == IMAGE)["layers"][0]
        root = image_root(layer)
        say("importing the image into podman")
        podman = Podman(Path(place), root)
        with contextlib.closing(podman), contextlib.closing(Crun(Path(place), root)) as crun:
            figures = _rounds(cloud, crun, podman, rounds)
        say("phases of a start on the host")
        phases = host_phases(cloud, 3 if quick else 15)
    _tell(report, figures, phases)


def _rounds(cloud: Cloud, crun: Crun, podman: Podman, rounds: int) -> dict[str, list[Any]]:
    for app in ("direct", "byname"):
        cloud.call("POST", "/apps", {"name": app})
    figures: dict[str, list[Any]] = {"direct": [], "byname": [], "api": [], "events": [], "crun": [], "podman": []}
    for number in range(rounds + 1):
        direct, api, events = ours(cloud, "direct", by_name=False)
        crun_ms = crun.start()
        byname, _, _ = ours(cloud, "byname", by_name=True)
        podman_ms = podman.start()
        say(f"round {number}: ours {direct:.0f}, by name {byname:.0f}, crun {crun_ms:.0f}, podman {podman_ms:.0f} ms")
        if number:  # the first warms everybody's caches
            row = {"direct": direct, "byname": byname, "api": api, "crun": crun_ms, "podman": podman_ms}
            for key, value in row.items():
                figures[key].append(value)
            figures["events"].append(events)
    return figures


def _tell(report: Report, figures: dict[str, list[Any]], phases: dict[str, list[float]]) -> None:
    direct = report.series("Roost: API call to first answer at the machine's address", figures["direct"])
    report.series("Roost: API call to first answer through Envoy by name", figures["byname"])
    report.series("Roost: API call to the API's answer", figures["api"])
    crun = report.series("bare crun run, host network", figures["crun"])
    podman = report.series("podman run -d -p, default network", figures["podman"])
    report.goal("Roost / podman", direct / podman, 0.35)
    report.goal("Roost / bare crun", direct / crun, 4)
    events = {k: statistics.median(e[k] for e in figures["events"]) for k in figures["events"][0]}
    steps = {name: statistics.median(values) for name, values in phases.items()}
    report.detail["events_ms"], report.detail["host_phases_ms"] = events, steps
    notes = ["where the time goes, ms: " + ", ".join(f"{name} {value:.1f}" for name, value in events.items())]
    notes.append("of the start, on the host: " + ", ".join(f"{name} {value:.1f}" for name, value in steps.items()))
    report.detail["notes"] = notes


if __name__ == "__main__":
    sys.exit(harness.main("start", measure, __doc__))
