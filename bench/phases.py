"""Where a start's time goes on the host: the agent's own step marks, timed in this process.

State owned: a cloud without a daemon, below /var/tmp, removed at the end. The agent is the real one; only the
API, the database and the edge are left out, so the sum is a lower bound of what the API's caller sees.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import harness
from harness import APP_PORT, Cloud
from peers import image_root

from roost.daemon.cloud_file import forget_cloud, new_cloud, save_cloud
from roost.daemon.up import ensure_run_directory
from roost.host import mounts
from roost.host.agent import LocalHost
from roost.host.contract import MachineSpec
from roost.plan.addresses import ipv4_of, ipv6_of

_CACHE = Path("/var/cache/roost")
_PAUSE = 0.25  # seconds between two starts, so that namespaces are ready as they are on a quiet host


class _Clock:
    """Takes the time at every step mark."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, float]] = []

    def __call__(self, step: str) -> None:
        self.marks.append((step, time.perf_counter()))


def host_phases(running: Cloud, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each step of a start, and of the whole, in some rounds."""
    image = next(i for i in running.call("GET", "/images") if i["reference"] == harness.IMAGE)
    layers = tuple(image_root(layer) for layer in image["layers"])
    clock = _Clock()
    spent: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="roost-bench-", dir="/var/tmp") as directory:
        ports = {"http_port": harness.free_port(), "api_port": harness.free_port()}
        home = Path(directory) / "home"
        home.mkdir()
        cloud = new_cloud(home, cache=_CACHE, domain="localhost", **ports)
        save_cloud(cloud)
        ensure_run_directory(cloud)
        host = LocalHost(cloud, clock)
        try:
            host.ensure()
            for number in range(rounds + 1):
                spec = MachineSpec(
                    id=f"{number:014x}", app="bench", slot=number + 1, network="bench", ipv4=ipv4_of(cloud, number + 1),
                    ipv6=ipv6_of(cloud, number + 1), hostname="bench", layers=layers,
                    argv=tuple(harness.server_argv()), pids=1024,
                )  # fmt: skip
                time.sleep(_PAUSE)
                _once(host, spec, clock, spent if number else defaultdict(list))
        finally:
            host.destroy_everything()
            if cloud.run.is_mount():
                mounts.unmount(cloud.run)
            cloud.run.rmdir()
            forget_cloud(cloud)
    return dict(spent)


def _once(host: LocalHost, spec: MachineSpec, clock: _Clock, spent: dict[str, list[float]]) -> None:
    clock.marks.clear()
    began = time.perf_counter()
    host.start(spec)
    ended = time.perf_counter()
    marks = [("before", began), *clock.marks, ("end", ended)]
    for (step, at), (_, after) in pairwise(marks):
        spent[step.removeprefix("host.start.")].append((after - at) * 1000)
    spent["host in all"].append((ended - began) * 1000)
    harness.until_200((str(spec.ipv4), APP_PORT))
    spent["exec to first answer"].append((time.perf_counter() - ended) * 1000)
    host.destroy(spec.id)
