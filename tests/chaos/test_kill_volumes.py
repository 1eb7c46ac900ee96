"""roostd killed (SIGKILL) at every step of what is done to volumes: nothing is lost, stays frozen or is half-made."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.chaos.conftest import FaultyCloud
from tests.chaos.test_kill_at_every_step import NAMED
from tests.e2e.cloud.conftest import wait_until
from tests.e2e.cloud.programs import program
from tests.e2e.cloud.test_volumes import COUNT, TOML, call, keeper, numbers, run, sh, visits

APP = "volumes"
COPYING = ("host.volume.freeze", "host.volume.frozen", "host.volume.copied")
CASES = (
    [("fork", s) for s in ("volume.create.recorded", *COPYING, "host.volume.made", "volume.create.made")]
    + [("larger", s) for s in ("host.volume.grow", "host.volume.resize", "host.volume.resized")]
    + [("extend", s) for s in ("volume.extend.recorded", "host.volume.grow", "host.volume.resize")]
    + [("extend", "volume.extend.extended")]
    + [("snapshot", s) for s in ("volume.snapshot.recorded", *COPYING, "volume.snapshot.made")]
    + [("destroy", s) for s in ("volume.destroy.recorded", "host.volume.destroy", "volume.destroy.destroyed")]
    + [("restart", s) for s in ("host.volume.unmount", "host.volume.mount")]
)
REMAKE = ("machine.remake.begin", "machine.remake.stopped", "machine.remake.made")


def test_every_step_is_among_these() -> None:
    known = {step for _, step in CASES} | set(REMAKE) | {"host.volume.destroy_snapshot"}  # tested with the host alone
    assert {n for n in NAMED if n.startswith(("volume.", "host.volume.", "machine.remake."))} == known


@pytest.fixture(scope="module")
def writer(faulty: FaultyCloud) -> tuple[str, str]:
    call(faulty, "POST", "/apps", 201, json={"name": APP})
    volume = call(faulty, "POST", f"/apps/{APP}/volumes", json={"name": "data"})["id"]
    return volume, run(faulty, APP, COUNT.replace("i=0;", "i=$(cat /data/log 2>/dev/null | wc -l);"), volume=volume)


def written(cloud: FaultyCloud, machine: str) -> list[int]:
    return numbers(sh(cloud, APP, machine, "cat /data/log"))


def ask(cloud: FaultyCloud, method: str, path: str, **options: Any) -> None:
    """Ask for what kills roostd: there is no answer."""
    try:
        answer = cloud.api(method, path, **options)
    except httpx2.HTTPError:
        return
    raise AssertionError(f"roostd lived on: {answer.status_code} {answer.text}")


@pytest.mark.parametrize(("verb", "step"), CASES)
def test_killed_in(faulty: FaultyCloud, writer: tuple[str, str], verb: str, step: str) -> None:
    volume, machine = writer
    path = f"/apps/{APP}/volumes"
    before = call(faulty, "GET", f"{path}/{volume}")
    victim = call(faulty, "POST", path, json={"name": "victim"})["id"] if verb == "destroy" else ""
    faulty.arm(step)
    match verb:
        case "fork":
            ask(faulty, "POST", path, json={"name": "copy", "source_volume_id": volume})
        case "larger":
            ask(faulty, "POST", path, json={"name": "copy", "source_volume_id": volume, "size_gb": 400})
        case "extend":
            ask(faulty, "PUT", f"{path}/{volume}/extend", json={"size_gb": before["size_gb"] + 1})
        case "snapshot":
            ask(faulty, "POST", f"{path}/{volume}/snapshots")
        case "destroy":
            ask(faulty, "DELETE", f"{path}/{victim}")
        case "restart":
            ask(faulty, "POST", f"/apps/{APP}/machines/{machine}/restart")
    assert faulty.has_fired()
    faulty.back()
    if verb == "restart":
        wait_until(lambda: faulty.settled(APP), "the machine has settled")
        call(faulty, "POST", f"/apps/{APP}/machines/{machine}/start")
    wait_until(
        lambda: all(v["state"] == "created" for v in call(faulty, "GET", path)), "each volume is what it should be"
    )
    volumes = call(faulty, "GET", path)
    assert [v["id"] for v in volumes] == [volume]
    assert volumes[0]["size_gb"] == before["size_gb"] + (verb == "extend")
    pool = faulty.home / "pool"
    assert [image.stem for image in (pool / "volumes").iterdir()] == [volume]
    assert list((pool / "snapshots").iterdir()) == []
    found = written(faulty, machine)
    assert found == list(range(len(found)))
    wait_until(lambda: len(written(faulty, machine)) > len(found), "it writes on: nothing is frozen", 10)


@pytest.mark.parametrize("step", REMAKE)
def test_killed_while_a_machine_with_a_volume_is_remade(faulty: FaultyCloud, tmp_path: Path, step: str) -> None:
    app = "remade"
    toml = TOML.format(app=app, strategy="rolling")
    place = program(tmp_path / "app", keeper("one"), toml=toml)
    cloud_has = [a["name"] for a in call(faulty, "GET", "/apps")["apps"]]
    if app not in cloud_has:
        faulty.roost("launch", place, "--name", app, "--yes")
    else:
        faulty.roost("deploy", place)
    count = visits(faulty, app, "one", 0)
    program(place, keeper("two"), toml=toml)
    faulty.arm(step)
    faulty.roost("deploy", place, check=False, timeout=120)
    assert faulty.has_fired()
    faulty.back()
    wait_until(lambda: faulty.settled(app), "the deploy is finished or undone", 60)
    time.sleep(0.1)
    visits(faulty, app, "two", count)
    (volume,) = call(faulty, "GET", f"/apps/{app}/volumes")
    assert volume["attached_machine_id"] == faulty.machines(app)[0]["id"]
