"""up, status, down, destroy-cloud through ./roost, with processes killed in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.e2e.setup.own_cloud import ROOT, OwnCloud, traces


def until(what: str, holds: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout} s"
        time.sleep(0.05)


def healthy(cloud: OwnCloud) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{cloud.api_port}/healthz", timeout=2) as answer:
            return bool(json.load(answer)["ok"])
    except OSError:
        return False


def start_a_machine(cloud: OwnCloud) -> str:
    """Start a machine that sleeps, in an app of that name, and return its id."""
    assert cloud.roost("apps", "create", "sleeper").code == 0
    done = cloud.roost("machine", "run", "roost/base:bookworm", "-a", "sleeper", "--json", "--", "sleep", "600")
    assert done.code == 0, done.err
    return str(json.loads(done.out)["id"])


def first_process(cloud: OwnCloud, machine: str) -> str:
    """Return what the kernel says of the machine's first process, its start time among it."""
    done = cloud.roost("machine", "exec", machine, "-a", "sleeper", "--", "cut", "-d", " ", "-f", "22", "/proc/1/stat")
    assert done.code == 0, done.err
    return done.out


def test_a_life_without_traces(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    network = "10.88.0.0/16"  # podman's, which a cloud takes last: no other test's has it
    first = cloud.up("--network", network)
    assert first.code == 0, first.err
    cloud_id = cloud.id
    assert json.loads((cloud.home / "cloud.json").read_text())["ipv4_network"] == network
    assert healthy(cloud)
    assert "The admin token" in first.out
    assert not (cloud.home / "keys" / "admin.token.once").exists()
    assert stat.S_IMODE((cloud.home / "keys" / "cli.token").stat().st_mode) == 0o600
    assert stat.S_IMODE((cloud.home / "keys").stat().st_mode) == 0o700

    pid = cloud.status()["roostd"]["pid"]
    again = cloud.up()
    assert again.code == 0, again.err
    assert "The admin token" not in again.out
    assert cloud.status()["roostd"]["pid"] == pid, "up of a healthy cloud changes nothing"

    down = cloud.roost("down")
    assert down.code == 0, down.err
    assert traces(cloud_id, cloud.home) == []
    status = cloud.status()
    assert status["roostd"]["pid"] is None
    assert status["envoy"]["pid"] is None
    assert cloud.roost("down").code == 0, "down of a cloud that is down is no error"

    assert cloud.up().code == 0
    assert cloud.id == cloud_id
    gone = cloud.roost("destroy-cloud", "--yes")
    assert gone.code == 0, gone.err
    assert traces(cloud_id, cloud.home) == []
    assert not cloud.home.exists()


def test_a_killed_roostd_comes_back_and_envoy_stays(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    before = cloud.status()
    os.kill(before["roostd"]["pid"], signal.SIGKILL)
    until("a new roostd", lambda: healthy(cloud) and cloud.status()["roostd"]["pid"] != before["roostd"]["pid"])
    assert cloud.status()["envoy"]["pid"] == before["envoy"]["pid"]


def test_roostd_asked_to_end_ends_in_order_and_the_rest_runs_on(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    before = cloud.status()
    machine = start_a_machine(cloud)
    process = first_process(cloud, machine)
    os.kill(before["roostd"]["pid"], signal.SIGTERM)
    until("a new roostd", lambda: healthy(cloud) and cloud.status()["roostd"]["pid"] != before["roostd"]["pid"])
    records = [json.loads(line) for line in (cloud.home / "log" / "roostd.log").read_text().splitlines()]
    assert [record["event"] for record in records if record["event"] in ("ready", "ended")][:2] == ["ready", "ended"]
    assert "roostd ended (0)" in (cloud.home / "log" / "supervisor.log").read_text()
    assert cloud.status()["envoy"]["pid"] == before["envoy"]["pid"]
    assert first_process(cloud, machine) == process


def test_up_of_a_cloud_whose_roostd_just_died_waits_for_it(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    record = Path("/run/roost") / cloud.id / "supervisor.pid"
    supervisor = record.read_text()
    for _ in range(4):
        os.kill(cloud.status()["roostd"]["pid"], signal.SIGKILL)
        again = cloud.up()
        assert again.code == 0, again.err
        assert healthy(cloud)
    assert record.read_text() == supervisor


def test_in_the_foreground_up_becomes_roostd(new_cloud: Callable[[], OwnCloud], tmp_path: Path) -> None:
    cloud = new_cloud()
    ports = ["--http-port", str(cloud.http_port), "--api-port", str(cloud.api_port)]
    argv = [sys.executable, "-m", "roost.daemon", "up", "--foreground", "--home", str(cloud.home), *ports]
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # as systemd has itself told
    told.bind(str(tmp_path / "notify"))
    told.settimeout(60)
    environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + 60
        while (word := told.recv(100)) != b"READY=1":
            assert word == b"WATCHDOG=1", "it lives while it starts, too"
            assert time.monotonic() < deadline
        assert healthy(cloud)
        assert cloud.status()["roostd"]["pid"] == process.pid
        summary = cloud.up()
        assert summary.code == 0, summary.err
        assert "The admin token" in summary.out
        assert not (Path("/run/roost") / cloud.id / "supervisor.pid").exists()
        process.terminate()
        assert process.wait(30) == 0
        assert cloud.roost("down").code == 0
        assert traces(cloud.id, cloud.home) == []
    finally:
        told.close()
        process.kill()
        process.wait()


def test_a_killed_supervisor_is_replaced_by_up(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    pid = cloud.status()["roostd"]["pid"]
    record = Path("/run/roost") / cloud.id / "supervisor.pid"
    old = json.loads(record.read_text())["pid"]
    os.kill(old, signal.SIGKILL)
    assert cloud.up().code == 0
    assert json.loads(record.read_text())["pid"] != old
    assert cloud.status()["roostd"]["pid"] == pid, "the running roostd is adopted"
    os.kill(pid, signal.SIGKILL)
    until("a restart by the new supervisor", lambda: healthy(cloud) and cloud.status()["roostd"]["pid"] != pid)


def roostds(cloud: OwnCloud) -> list[str]:
    return [trace for trace in traces(cloud.id, cloud.home) if "roost.daemon.roostd" in trace]


def test_a_supervisor_killed_as_it_starts_roostd_leaves_none_unknown(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    argv = [ROOT / "roost", "up", "--http-port", str(cloud.http_port), "--api-port", str(cloud.api_port)]
    environment = {**os.environ, "ROOST_HOME": str(cloud.home)}
    first = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        until("the cloud's identity", (cloud.home / "cloud.json").exists)
        run = Path("/run/roost") / cloud.id
        until("roostd's start", lambda: bool(roostds(cloud)))
        assert not (run / "roostd.pid").exists(), "this came too late to test anything"
        os.kill(json.loads((run / "supervisor.pid").read_text())["pid"], signal.SIGKILL)
        _, error = first.communicate(timeout=60)
    finally:
        first.kill()
        first.wait()
    assert first.returncode == 1, error
    assert "supervisor ended" in error
    until("the end of the roostd that nobody keeps", lambda: not roostds(cloud))
    assert cloud.up().code == 0
    assert len(roostds(cloud)) == 1


def test_a_stopped_supervisor_is_ended_all_the_same(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    cloud_id = cloud.id
    for name in ("supervisor.pid", "roostd.pid"):
        os.kill(json.loads((Path("/run/roost") / cloud_id / name).read_text())["pid"], signal.SIGSTOP)
    began = time.monotonic()
    gone = cloud.roost("destroy-cloud", "--yes")
    assert gone.code == 0, gone.err
    assert time.monotonic() - began < 30, "they were waited for instead of woken"
    assert traces(cloud_id, cloud.home) == []


def test_a_cloud_whose_home_was_removed_by_hand_can_be_ended(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    cloud_id = cloud.id
    start_a_machine(cloud)
    shutil.rmtree(cloud.home, ignore_errors=True)  # the pool's mount point can't go
    os.kill(json.loads((Path("/run/roost") / cloud_id / "roostd.pid").read_text())["pid"], signal.SIGKILL)
    until("the next roostd's log", lambda: (cloud.home / "log" / "roostd.log").exists())
    told = cloud.roost("doctor").out
    assert f"roost destroy-cloud --stray {cloud_id} --yes" in told
    assert f"--stray {cloud_id}" in cloud.roost("destroy-cloud", "--yes").err
    assert f"--stray {cloud_id}" in cloud.up().err
    gone = cloud.roost("destroy-cloud", "--stray", cloud_id, "--yes")
    assert gone.code == 0, gone.err
    assert traces(cloud_id, cloud.home) == []
    assert not cloud.home.exists()
    assert cloud.roost("destroy-cloud", "--stray", cloud_id, "--yes").code == 3


def test_a_cloud_with_its_home_is_not_ended_as_a_stray(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    assert cloud.roost("destroy-cloud", "--stray", cloud.id, "--yes").code == 3
    assert healthy(cloud)


def test_everything_killed_is_destroyed(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    cloud_id = cloud.id
    for name in ("supervisor.pid", "roostd.pid"):
        os.kill(json.loads((Path("/run/roost") / cloud_id / name).read_text())["pid"], signal.SIGKILL)
    gone = cloud.roost("destroy-cloud", "--yes")
    assert gone.code == 0, gone.err
    assert traces(cloud_id, cloud.home) == []


def test_two_clouds_side_by_side(new_cloud: Callable[[], OwnCloud]) -> None:
    one, other = new_cloud(), new_cloud()
    assert one.up().code == 0
    assert other.up().code == 0
    assert one.roost("destroy-cloud", "--yes").code == 0
    assert healthy(other)
    assert other.status()["envoy"]["pid"]


def test_a_taken_port_is_said_before_anything_is_started(new_cloud: Callable[[], OwnCloud]) -> None:
    one, other = new_cloud(), new_cloud()
    assert one.up().code == 0
    other.http_port = one.http_port
    refused = other.up()
    assert refused.code == 1
    assert str(one.http_port) in refused.err
    assert "--http-port" in refused.err
    assert not (other.home / "cloud.json").exists()


def test_what_is_no_home_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    stranger = OwnCloud(tmp_path, 1, 1)
    assert stranger.roost("destroy-cloud", "--yes").code == 3
    stranger.http_port = stranger.api_port = 18080
    assert stranger.up().code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_destroying_needs_a_yes(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    refused = cloud.roost("destroy-cloud")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert healthy(cloud)


def test_ports_of_a_running_cloud_stay(new_cloud: Callable[[], OwnCloud]) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    refused = cloud.roost("up", "--http-port", "18081")
    assert refused.code == 1
    assert "roost down" in refused.err
    assert json.loads((cloud.home / "cloud.json").read_text())["http_port"] == cloud.http_port
