"""`roost scale` on a real cloud: numbers and sizes of machines, as the machines themselves have them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import WEB_AND_WORKER, fresh, program, said, server


@pytest.fixture(scope="module")
def app(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    name = fresh("scaled")
    place = program(tmp_path_factory.mktemp("scaled") / "app", server("one"), toml=WEB_AND_WORKER.format(app=name))
    try:
        cloud.roost("launch", place, "--name", name, "--yes", timeout=400)
        yield name
    finally:
        cloud.roost("apps", "destroy", name, "--yes", check=False)


def groups(cloud: RunningCloud, app: str) -> dict[str, dict[str, Any]]:
    return {row["group"]: row for row in cloud.json("scale", "show", "-a", app)}


def memory_limits(cloud: RunningCloud, app: str) -> list[int]:
    """The limit of each machine in megabytes, as the kernel has it."""
    found = []
    for machine in cloud.machines(app):
        places = [*Path("/sys/fs/cgroup/memory").glob(f"roost-*/{machine['id']}/memory.limit_in_bytes"),
                  *Path("/sys/fs/cgroup").glob(f"roost-*/{machine['id']}/memory.max")]  # fmt: skip
        found.append(int(places[0].read_text()) >> 20)
    return found


def test_numbers_of_machines(cloud: RunningCloud, app: str) -> None:
    before = groups(cloud, app)
    assert {name: row["count"] for name, row in before.items()} == {"web": 1, "worker": 1}
    first = {machine["id"] for machine in cloud.machines(app)}
    cloud.roost("scale", "count", "web=3", "worker=2", "-a", app)
    after = groups(cloud, app)
    assert {name: (row["count"], row["started"]) for name, row in after.items()} == {"web": (3, 3), "worker": (2, 2)}
    assert first < {machine["id"] for machine in cloud.machines(app)}, "those there were stay"
    assert cloud.get(app).text == "one"
    refused = said(cloud, "scale", "count", "nothing=2", "-a", app)
    assert refused.code == 2 and "process group" in refused and "web, worker" in refused
    cloud.roost("scale", "count", "web=1", "worker=0", "-a", app)
    assert {name: row["count"] for name, row in groups(cloud, app).items()} == {"web": 1, "worker": 0}
    assert cloud.get(app).text == "one"
    deploy = cloud.api("POST", f"/apps/{app}/deploys", json={}).json()
    said_of = cloud.roost("operations", "show", deploy["id"], "--follow", "--logs")
    told = said_of.stdout + said_of.stderr
    assert "worker has no machines, as before" in told, told
    assert {name: row["count"] for name, row in groups(cloud, app).items()} == {"web": 1, "worker": 0}, "0 is kept too"
    cloud.roost("scale", "count", "worker=1", "-a", app)
    assert groups(cloud, app)["worker"]["started"] == 1, "a group without machines comes back"


def test_sizes_of_machines(cloud: RunningCloud, app: str) -> None:
    wait_until(lambda: cloud.get(app).text == "one", "it is awake")
    cloud.roost("scale", "memory", "320", "-a", app)
    assert memory_limits(cloud, app) == [320, 320]
    cloud.roost("scale", "vm", "shared-cpu-2x", "-a", app, "--memory", "640", "--group", "web")
    assert sorted(memory_limits(cloud, app)) == [320, 640]
    assert groups(cloud, app)["web"]["sizes"] == ["2 shared cpus, 640 MB"]
    assert re.search(r"^worker +1 +1 +1 shared cpus, 320 MB", cloud.roost("scale", "show", "-a", app).stdout, re.M)
    assert cloud.get(app).text == "one"
    bad = said(cloud, "scale", "vm", "enormous-9x", "-a", app)
    assert bad.code == 2 and "shared-cpu-1x" in bad
    assert sorted(memory_limits(cloud, app)) == [320, 640], "what was refused changed nothing"
