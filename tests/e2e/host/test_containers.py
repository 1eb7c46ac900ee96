"""Several containers in one machine, on the host: what they share, what each has alone, and kills in between."""

from __future__ import annotations

import pickle
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.host.conftest import Site
from tests.e2e.host.test_faults import things_of

from roost.host import agent, containers, starting
from roost.host.contract import ContainerSpec, MachineSpec, ObservedContainer, RuntimeState, SharedDirectory
from roost.host.process import run
from roost.model.errors import BadInput, FailedPrecondition, NotFound

VICTIM = """
import os, pickle, signal, sys
from roost.host.agent import LocalHost
cloud, spec, action, fatal = pickle.load(open(sys.argv[1], "rb"))
def faults(step):
    if step == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
host = LocalHost(cloud, faults, spares=0)
if action == "stop":
    host.stop(spec.id, signal="", timeout=None)
host.start(spec)
for one in spec.containers:
    host.start_container(spec, one.name)
"""
STEPS = sorted(
    {
        name
        for module in (agent, containers, starting)
        for name in re.findall(r'faults\(\s*"(host\.(?:shared|container)\.[a-z]+)"', Path(module.__file__).read_text())
    }
)


def pair(site: Site, first: str, second: str, **changes: object) -> MachineSpec:
    """A machine of two shells."""
    shells = (
        ContainerSpec(
            name, (site.base,), ("bash", "-c", script), stop_signal="SIGTERM", stop_timeout=2.0, mounts=(("m", "/m"),)
        )
        for name, script in (("one", first), ("two", second))
    )
    return site.spec(containers=tuple(shells), shared=(SharedDirectory("m", "memory", 4),), **changes)


def up(site: Site, spec: MachineSpec) -> MachineSpec:
    site.host.start(spec)
    for one in spec.containers:
        site.host.start_container(spec, one.name)
    return spec


def sh(site: Site, spec: MachineSpec, container: str, script: str) -> str:
    done = site.host.execute(spec.id, ("bash", "-c", script), container=container, timeout=20)
    return (done.stdout + done.stderr).decode().strip()


def seen(site: Site, spec: MachineSpec) -> dict[str, ObservedContainer]:
    return {one.name: one for one in site.host.observe(spec.id).containers}


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


WAITS = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done"


def test_they_share_network_limits_and_directories_and_nothing_else(site: Site) -> None:
    spec = up(site, pair(site, WAITS, WAITS, memory_mb=64))
    assert sh(site, spec, "one", "readlink /proc/self/ns/net") == sh(site, spec, "two", "readlink /proc/self/ns/net")
    assert sh(site, spec, "one", "readlink /proc/self/ns/pid") != sh(site, spec, "two", "readlink /proc/self/ns/pid")
    sh(site, spec, "one", "echo private > /root/x; echo hello > /m/x")
    assert sh(site, spec, "two", "cat /m/x; stat -c %u /m/x; ls /root/x") == (
        "hello\n0\nls: cannot access '/root/x': No such file or directory"
    )
    assert "No space left" in sh(site, spec, "two", "head -c 5M /dev/zero > /m/big")
    assert site.host.memory_limit(spec.id) == 64 << 20
    sh(site, spec, "one", "head -c 3M /dev/zero > /m/big")
    assert sh(site, spec, "one", "perl -e 'my $x = \"a\" x (100 << 20); print length $x'") == ""  # killed
    assert all(one.pid for one in seen(site, spec).values())
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []


def test_a_directory_on_disk_is_full_at_its_size(site: Site) -> None:
    spec = pair(site, WAITS, WAITS)
    spec = up(site, replace(spec, shared=(SharedDirectory("m", "disk", 8),)))
    assert "No space left" in sh(site, spec, "one", "head -c 9M /dev/zero > /m/big")
    assert sh(site, spec, "two", "rm /m/big; head -c 4M /dev/zero > /m/big && stat -c %s /m/big") == str(4 << 20)
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []


def test_an_image_is_shown_read_only(site: Site, tmp_path: Path) -> None:
    layers = (tmp_path / "low", tmp_path / "high")
    for layer in layers:
        layer.mkdir()
        (layer / layer.name).write_text(layer.name)
    for shown in (layers, layers[:1]):
        spec = up(site, replace(pair(site, WAITS, WAITS), shared=(SharedDirectory("m", "image", layers=shown),)))
        assert sh(site, spec, "one", "cat /m/*") == "".join(sorted(layer.name for layer in shown))
        assert sh(site, spec, "one", "stat -c %u /m/low") == "0"
        assert "Read-only file system" in sh(site, spec, "two", "touch /m/x")
        site.host.destroy(spec.id)
        assert things_of(site, spec) == []


def test_one_ends_and_starts_again_beside_the_other(site: Site) -> None:
    spec = up(site, pair(site, WAITS, "echo once; exit 3"))
    until(lambda: not seen(site, spec)["two"].pid, "it never ended")
    before = seen(site, spec)
    assert before["two"].last_exit is not None and before["two"].last_exit.exit_code == 3
    site.host.start_container(spec, "two", restarts=1)
    until(lambda: not seen(site, spec)["two"].pid, "it never ended again")
    after = seen(site, spec)
    assert after["two"].restarts == 1
    assert after["one"].pid == before["one"].pid
    assert [line.text for line in site.host.logs(spec.id, container="two")] == ["once", "once"]
    assert site.host.logs(spec.id, container="two")[0].container == "two"
    assert site.host.logged_containers(spec.id) == ["one", "two"]
    stopped = site.host.stop(spec.id, signal="", timeout=None)
    assert stopped.state in (RuntimeState.ABSENT, RuntimeState.PREPARED)
    assert [line.text for line in site.host.logs(spec.id, container="one")] == ["bye"]
    site.host.forget_log(spec.id)
    assert site.host.logged_containers(spec.id) == []
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []


def test_they_are_frozen_together(site: Site) -> None:
    ticks = "i=0; while :; do i=$((i+1)); echo $i > /m/%s; sleep 0.01; done"
    spec = up(site, pair(site, ticks % "a", ticks % "b"))
    until(lambda: sh(site, spec, "one", "cat /m/a /m/b 2>/dev/null | wc -l") == "2", "no ticks")
    site.host.freeze(spec.id)
    assert site.host.observe(spec.id).state is RuntimeState.FROZEN
    with pytest.raises(FailedPrecondition):
        site.host.start_container(spec, "one")
    shared = next(site.cloud.run.glob(f"m/{spec.id}/shared/m"))
    before = [(shared / name).read_text() for name in "ab"]
    time.sleep(0.1)  # nothing may change meanwhile: there is no condition to wait for
    assert [(shared / name).read_text() for name in "ab"] == before
    site.host.thaw(spec.id)
    until(lambda: [(shared / name).read_text() for name in "ab"] != before, "still frozen")
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []


def test_what_cannot_run_leaves_the_others_alone(site: Site) -> None:
    spec = pair(site, WAITS, WAITS)
    bad = ContainerSpec("bad", (site.base,), ("/no/such/thing",))
    spec = replace(spec, containers=(spec.containers[0], bad))
    site.host.start(spec)
    site.host.start_container(spec, "one")
    with pytest.raises(BadInput):
        site.host.start_container(spec, "bad")
    assert seen(site, spec)["one"].pid
    with pytest.raises(NotFound):
        site.host.execute(spec.id, ("true",), container="bad")
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []


def die(site: Site, spec: MachineSpec, action: str, step: str, tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    orders.write_bytes(pickle.dumps((site.cloud, spec, action, step)))
    done = run([sys.executable, "-c", VICTIM, str(orders)], timeout=60, check=False)
    assert done.returncode == -9, done.stderr.decode()


@pytest.mark.parametrize("step", STEPS)
def test_a_start_that_was_killed_is_gone_on_with_and_undone(site: Site, tmp_path: Path, step: str) -> None:
    spec = pair(site, WAITS, WAITS)
    die(site, spec, "start", step, tmp_path)
    up(site, spec)
    assert sh(site, spec, "two", "echo fine") == "fine"
    assert sh(site, spec, "one", "echo fine") == "fine"
    die(site, spec, "stop", "host.stop.containers", tmp_path)
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []


@pytest.mark.parametrize("step", STEPS)
def test_a_start_that_was_killed_is_destroyed(site: Site, tmp_path: Path, step: str) -> None:
    spec = pair(site, WAITS, WAITS)
    die(site, spec, "start", step, tmp_path)
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []
