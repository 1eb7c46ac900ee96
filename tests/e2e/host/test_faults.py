"""roostd is killed between any two steps: the next agent goes on, and nothing leaks."""

from __future__ import annotations

import pickle
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.host.conftest import Site, end_site, leftovers, make_site

from roost.host.contract import MachineSpec, RuntimeState
from roost.host.process import run

START = ("namespaces", "record", "disk", "root", "bundle", "network", "create", "start", "main")
VICTIM = """
import os, pickle, signal, sys
from roost.host.agent import LocalHost
cloud, spec, action, fatal = pickle.load(open(sys.argv[1], "rb"))
def faults(step):
    if step == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
host = LocalHost(cloud, faults, spares=0)
if action == "start": host.start(spec)
if action == "stop": host.stop(spec.id, signal="SIGTERM", timeout=0.2)
if action == "destroy": host.destroy(spec.id)
if action == "destroy_everything": host.destroy_everything()
"""


def die_in(site: Site, spec: MachineSpec, action: str, step: str, tmp_path: Path) -> None:
    """Run one action in a process of its own that is killed before `step`."""
    orders = tmp_path / "orders"
    orders.write_bytes(pickle.dumps((site.cloud, spec, action, step)))
    done = run([sys.executable, "-c", VICTIM, str(orders)], timeout=60, check=False)
    assert done.returncode == -9, done.stderr.decode()


def things_of(site: Site, spec: MachineSpec) -> list[str]:
    """What is still there of a machine."""
    found = [line for line in leftovers(site.cloud) if spec.id in line]
    found += [str(path) for path in (site.cloud.run / "m").glob(f"{spec.id}*")]
    found += [str(path) for path in (site.cloud.pool / "disks").glob(f"{spec.id}*")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{site.cloud.cgroup}/{spec.id}")]
    found += [str(path) for path in (site.cloud.run / "crun").glob(spec.id)]
    return found


@pytest.mark.parametrize("step", START)
def test_a_start_that_was_killed_is_started_again(site: Site, tmp_path: Path, step: str):
    spec = site.spec("sleep", "1000")
    die_in(site, spec, "start", f"host.start.{step}", tmp_path)
    seen = site.host.start(spec)
    assert seen.state is RuntimeState.RUNNING
    assert site.host.execute(spec.id, ("echo", "fine")).stdout == b"fine\n"
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []


@pytest.mark.parametrize("step", START)
def test_a_start_that_was_killed_is_destroyed(site: Site, tmp_path: Path, step: str):
    spec = site.spec("sleep", "1000")
    die_in(site, spec, "start", f"host.start.{step}", tmp_path)
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []
    assert site.host.observe(spec.id).state is RuntimeState.ABSENT


@pytest.mark.parametrize("step", ["signal", "kill", "release"])
def test_a_stop_that_was_killed_is_stopped_again(site: Site, tmp_path: Path, step: str):
    spec = site.spec("bash", "-c", "trap '' TERM; while :; do sleep 1; done")
    site.host.start(spec)
    deaf = site.host.execute(
        spec.id, ("sh", "-c", "until grep -q 'SigIgn:.*4...$' /proc/1/status; do sleep 0.05; done")
    )
    assert deaf.exit_code == 0
    die_in(site, spec, "stop", f"host.stop.{step}", tmp_path)
    seen = site.host.stop(spec.id, signal="SIGTERM", timeout=0.2)
    assert seen.state is RuntimeState.PREPARED
    assert seen.last_exit is not None and (step == "signal" or seen.last_exit.requested_stop)
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []


@pytest.mark.parametrize("step", ["release", "record"])
def test_a_destruction_that_was_killed_is_done_again(site: Site, tmp_path: Path, step: str):
    spec = site.spec("sleep", "1000")
    site.host.start(spec)
    die_in(site, spec, "destroy", f"host.destroy.{step}", tmp_path)
    site.host.destroy(spec.id)
    assert things_of(site, spec) == []


def test_the_machine_lives_on_and_is_adopted_when_the_agent_dies(site: Site, tmp_path: Path):
    spec = site.spec("bash", "-c", "trap 'echo end; exit 9' TERM; echo up; while :; do sleep 0.05; done")
    orders = tmp_path / "orders"
    orders.write_bytes(pickle.dumps((site.cloud, spec, "start", "")))
    suicide = VICTIM + "\nos.kill(os.getpid(), signal.SIGKILL)"
    assert run([sys.executable, "-c", suicide, str(orders)], timeout=60, check=False).returncode == -9
    agent = site.agent()
    seen = agent.observe_all()[spec.id]
    assert seen.state is RuntimeState.RUNNING
    deadline = time.monotonic() + 10
    while not agent.logs(spec.id):
        assert time.monotonic() < deadline, "it never came up"
        time.sleep(0.02)
    agent.freeze(spec.id)
    assert agent.observe(spec.id).state is RuntimeState.FROZEN
    stopped = agent.stop(spec.id, signal="SIGTERM", timeout=5)
    assert stopped.last_exit is not None and stopped.last_exit.exit_code == 9
    assert [line.text for line in agent.logs(spec.id)][-1] == "end"
    agent.destroy(spec.id)
    assert things_of(site, spec) == []


@pytest.mark.parametrize("step", ["host.destroy.record", "host.destroy.network", "host.destroy.pool"])
def test_destroying_the_cloud_can_be_killed_and_repeated(tmp_path: Path, base: Path, step: str):
    own = make_site(tmp_path / "home", base)
    (tmp_path / "home").mkdir(exist_ok=True)
    try:
        own.host.ensure()
        spec = own.spec("sleep", "1000")
        own.host.start(spec)
        own.host.close()
        die_in(own, spec, "destroy_everything", step, tmp_path)
    finally:
        left = end_site(own)
    assert left == []
    assert not own.cloud.pool.exists() and not (own.cloud.home / "pool.img").exists()
