"""The first request to a sleeping app beside the same request to a warm one, through the same Envoy.

Warm and sleeping in turn, each request on a connection of its own. "Suspended" is a frozen control group;
"stopped" has no process at all, so its request waits for the whole start; for that the app's own start time is
measured as bare crun from exec to first answer, same command, same files.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path

import harness
from harness import IMAGE, Cloud, Report, say
from peers import Crun, image_root

APP = "sleeper"
SETTLE = 0.05  # seconds between putting to sleep and the request, and between the wake and the warm request
ROUTED = 5.0  # seconds within which the woken app must be in Envoy again


def until_routed(cloud: Cloud) -> None:
    """Return once Envoy has the app's route, so that a warm request goes straight; raises TimeoutError."""
    deadline = time.monotonic() + ROUTED
    while not cloud.call("GET", "/status")["edge"]["routes"]:
        if time.monotonic() > deadline:
            raise TimeoutError("the app's route did not come back")
        time.sleep(0.01)


def after(cloud: Cloud, machine: str, verb: str) -> float:
    """Put the app to sleep by `verb`, then return the milliseconds of the request that wakes it."""
    cloud.call("POST", f"/apps/{APP}/machines/{machine}/{verb}")
    time.sleep(SETTLE)
    took = harness.timed_get(cloud.edge, cloud.host(APP))
    until_routed(cloud)
    time.sleep(SETTLE)
    return took


def measure(report: Report, quick: bool) -> None:
    suspends, stops = (10, 4) if quick else (100, 30)
    with harness.cloud() as cloud, tempfile.TemporaryDirectory(prefix="roost-peers-", dir="/var/tmp") as place:
        layer = next(i for i in cloud.call("GET", "/images") if i["reference"] == IMAGE)["layers"][0]
        cloud.call("POST", "/apps", {"name": APP})
        machine = cloud.call("POST", f"/apps/{APP}/machines", {"config": harness.machine_config()})["id"]
        harness.until_200(cloud.edge, cloud.host(APP), patience=5)
        until_routed(cloud)
        warm, woken, started, own = [], [], [], []
        say(f"{suspends} times suspended")
        for _ in range(suspends):
            warm.append(harness.timed_get(cloud.edge, cloud.host(APP)))
            woken.append(after(cloud, machine, "suspend"))
        say(f"{stops} times stopped")
        with contextlib.closing(Crun(Path(place), image_root(layer))) as crun:
            for _ in range(stops):
                own.append(crun.start())
                started.append(after(cloud, machine, "stop"))
    base = report.series("warm, through Envoy", warm)
    wake = report.series("suspended, first request", woken)
    cold = report.series("stopped, first request", started)
    alone = report.series("the app's own start: bare crun to first answer", own)
    report.goal("wake of a suspended app adds", wake - base, 8, "ms")
    report.goal("wake of a stopped app adds to its own start", cold - alone, 150, "ms")


if __name__ == "__main__":
    sys.exit(harness.main("wake", measure, __doc__))
