"""A cloud made and run by the release before goes on under this one: its database, its machines, its secrets.

The earlier code is taken from the history of this checkout, so a clone with its whole history is needed. It runs with
the Python packages of today.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.e2e.setup.own_cloud import ROOT, OwnCloud

PREVIOUS = "ea11bc2cd7c15a1c7779063fd19f61ef09225f74"  # the last commit of the release before
BASE = "roost/base:bookworm"
# Counts the connections it has answered: a number that only its memory knows.
COUNTER = (
    "use IO::Socket::INET;$SIG{INT}=$SIG{TERM}=sub{exit 0};"
    "my $s=IO::Socket::INET->new(LocalPort=>8080,Listen=>5,ReuseAddr=>1)||die;my $n=0;"
    'while(my $c=$s->accept){sysread($c,my $b,4096);$n++;print $c "HTTP/1.0 200 OK\\r\\n\\r\\n$n";close $c}'
)
RUNNING = {"image": BASE, "init": {"exec": ["/usr/bin/perl", "-e", COUNTER]}}
SLEEPER = {"image": BASE, "init": {"exec": ["/bin/sleep", "infinity"]}}


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The sources of the release before."""
    known = subprocess.run(
        ["git", "-C", ROOT, "cat-file", "-e", f"{PREVIOUS}^{{commit}}"], capture_output=True, check=False
    )
    if known.returncode:
        pytest.skip(f"commit {PREVIOUS[:7]} is not in this checkout: clone it with its history (git fetch --unshallow)")
    packed = subprocess.run(["git", "-C", ROOT, "archive", PREVIOUS, "src"], capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", tmp_path], input=packed.stdout, check=True)
    return tmp_path / "src"


def earlier_roost(sources: Path, cloud: OwnCloud, *words: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(sources), "ROOST_HOME": str(cloud.home)}
    done = subprocess.run(
        [sys.executable, "-m", "roost.cli", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def api(cloud: OwnCloud, method: str, path: str, body: Any = None) -> Any:
    token = (cloud.home / "keys" / "cli.token").read_text().strip()
    answer = httpx2.request(
        method, f"http://127.0.0.1:{cloud.api_port}/v1{path}", json=body, timeout=120, trust_env=False,
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def count(machine: dict[str, Any]) -> int:
    deadline = time.monotonic() + 10
    while True:
        try:
            return int(httpx2.get(f"http://{machine['private_ipv4']}:8080/", timeout=5, trust_env=False).text)
        except httpx2.TransportError:
            assert time.monotonic() < deadline, "the counter does not answer"
            time.sleep(0.05)


def end_control_plane(cloud: OwnCloud, sources: Path) -> None:
    """Kill the earlier supervisor and roostd as a crash would: the machines and Envoy go on."""
    found = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _is_of(entry, cloud, sources, ("roost.daemon.supervise", "roost.daemon.roostd"))
    ]
    assert len(found) >= 2, found
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/exe").exists() for pid in found):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_of(entry: Path, cloud: OwnCloud, sources: Path, modules: tuple[str, ...]) -> bool:
    try:
        command, environment = (entry / "cmdline").read_text(), (entry / "environ").read_text()
    except OSError:
        return False
    return (
        any(module in command for module in modules)
        and f"PYTHONPATH={sources}" in environment
        and f"ROOST_HOME={cloud.home}" in environment
    )


def test_a_cloud_of_the_release_before_goes_on(new_cloud: Callable[[], OwnCloud], earlier: Path) -> None:
    cloud = new_cloud()
    ports = ("--http-port", str(cloud.http_port), "--api-port", str(cloud.api_port))
    earlier_roost(earlier, cloud, "up", *ports)
    api(cloud, "POST", "/apps", {"name": "shop"})
    api(cloud, "POST", "/apps/shop/secrets", {"values": {"KEY": "of the release before"}})
    base = "/apps/shop/machines"
    running = api(cloud, "POST", base, {"config": RUNNING, "name": "running"})
    frozen = api(cloud, "POST", base, {"config": RUNNING, "name": "frozen"})
    volume = api(cloud, "POST", "/apps/shop/volumes", {"name": "data", "size_gb": 1})
    mounts = [{"volume": volume["id"], "path": "/data"}]
    keeper = api(cloud, "POST", base, {"config": SLEEPER | {"mounts": mounts}, "name": "keeper"})
    write = {"command": ["sh", "-c", "echo kept > /data/file; sync"]}
    assert api(cloud, "POST", f"{base}/{keeper['id']}/exec", write)["exit_code"] == 0
    assert [count(running) for _ in range(3)] == [1, 2, 3]
    assert count(frozen) == 1
    api(cloud, "POST", f"{base}/{frozen['id']}/suspend", {})

    end_control_plane(cloud, earlier)
    assert count(running) == 4
    done = cloud.roost("up", *ports)
    assert done.code == 0, done.err

    assert {m["name"]: m["state"] for m in api(cloud, "GET", base)} == {
        "running": "started", "frozen": "suspended", "keeper": "started",
    }  # fmt: skip
    assert count(running) == 5
    api(cloud, "POST", f"{base}/{frozen['id']}/start", {})
    assert count(frozen) == 2
    read = {"command": ["cat", "/data/file"]}
    assert api(cloud, "POST", f"{base}/{keeper['id']}/exec", read)["stdout"] == "kept\n"
    for verb in ("stop", "start"):
        api(cloud, "POST", f"{base}/{keeper['id']}/{verb}", {})
    assert api(cloud, "POST", f"{base}/{keeper['id']}/exec", read)["stdout"] == "kept\n"
    changed = api(cloud, "POST", f"{base}/{running['id']}", {"config": RUNNING | {"env": {"A": "b"}}})
    assert changed["instance_id"] != running["instance_id"]
    show = {"command": ["sh", "-c", 'echo "$A $KEY"']}
    assert api(cloud, "POST", f"{base}/{running['id']}/exec", show)["stdout"] == "b of the release before\n"
    assert count(changed) == 1
    assert [s["name"] for s in api(cloud, "GET", "/apps/shop/secrets")["secrets"]] == ["KEY"]
    assert api(cloud, "GET", f"{base}/{frozen['id']}/events")[-1]["type"] == "launch"
    api(cloud, "POST", f"/apps/shop/volumes/{volume['id']}/snapshots", {})
