"""`.internal` names, asked from inside machines: each sees its own private network, and only what runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until

from roost.daemon import pid_file
from roost.daemon.dnsd import CONFINES

ASK = """
import socket, sys
try:
    print(*sorted({info[4][0] for info in socket.getaddrinfo(sys.argv[1], 80)}))
except socket.gaierror as error:
    print("none:", error.errno)
"""


def config(**changes: Any) -> dict[str, Any]:
    return {"image": "roost/python:bookworm", "init": {"exec": ["sleep", "infinity"]}} | changes


@pytest.fixture(scope="module")
def apps(cloud: RunningCloud) -> Iterator[tuple[str, str, str]]:
    """Two apps of one network, and one of another."""
    mark = uuid.uuid4().hex[:6]
    names = (f"front-{mark}", f"back-{mark}", f"other-{mark}")
    for name in names:
        network = {"network": f"secret-{mark}"} if name.startswith("other") else {}
        answer = cloud.api("POST", "/apps", json={"app_name": name, "org_slug": "personal"} | network)
        assert answer.status_code == 201, answer.text
    yield names
    for name in names:
        cloud.api("DELETE", f"/apps/{name}?force=true")


def create(cloud: RunningCloud, app: str, **changes: Any) -> dict[str, Any]:
    answer = cloud.api("POST", f"/apps/{app}/machines", json={"config": config(**changes)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def run(cloud: RunningCloud, machine: dict[str, Any], app: str, *command: str) -> str:
    body = {"command": list(command), "timeout": 30}
    answer = cloud.api("POST", f"/apps/{app}/machines/{machine['id']}/exec", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["stdout"]).strip()


def look_up(cloud: RunningCloud, machine: dict[str, Any], app: str, name: str) -> str:
    return run(cloud, machine, app, "python3", "-c", ASK, name)


def test_names_of_the_own_network(cloud: RunningCloud, apps: tuple[str, str, str]) -> None:
    front, back, other = apps
    wait_until(lambda: list(Path("/run/roost").glob(f"{cloud_id(cloud)}/dns.ready")), "the DNS server is ready")
    asking = create(cloud, front)
    one = create(cloud, back, metadata={"role": "primary"})
    two = create(cloud, back, dns={"hostname": "second", "hostname_fqdn": "second.corp.example"})
    hidden = create(cloud, back, dns={"skip_registration": True})
    create(cloud, other)
    both = sorted([one["private_ipv4"], one["private_ip"], two["private_ipv4"], two["private_ip"]])

    assert sorted(look_up(cloud, asking, front, f"{back}.internal").split()) == both
    assert sorted(look_up(cloud, asking, front, f"local.{back}.internal").split()) == both
    primary = sorted([one["private_ipv4"], one["private_ip"]])
    assert sorted(look_up(cloud, asking, front, f"primary.role.kv._metadata.{back}.internal").split()) == primary
    assert sorted(look_up(cloud, asking, front, f"{one['id']}.vm.{back}.internal").split()) == primary
    assert sorted(look_up(cloud, asking, front, f"top1.nearest.of.{back}.internal").split()) == primary
    assert look_up(cloud, asking, front, f"{hidden['id']}.vm.{back}.internal") == "none: -2"
    assert look_up(cloud, asking, front, f"{other}.internal") == "none: -2"  # another network's
    assert look_up(cloud, asking, front, "nosuch.internal") == "none: -2"
    assert run(cloud, two, back, "hostname") == "second"
    assert "second.corp.example second" in run(cloud, two, back, "cat", "/etc/hosts")

    # Only what runs is listed.
    cloud.api("POST", f"/apps/{back}/machines/{one['id']}/suspend")
    assert look_up(cloud, asking, front, f"{one['id']}.vm.{back}.internal") == "none: -2"
    cloud.api("POST", f"/apps/{back}/machines/{one['id']}/start")
    assert sorted(look_up(cloud, asking, front, f"{one['id']}.vm.{back}.internal").split()) == primary

    # It answers while roostd is away, and one that is killed is replaced.
    pid = pid_file.read(dns_pid(cloud))
    assert pid is not None
    os.kill(cloud.roostd_pid, signal.SIGKILL)
    cloud.roost("up", "--home", cloud.home)
    assert pid_file.read(dns_pid(cloud)) == pid
    for choose in (lambda dns: dns, half_for_strangers):
        pid = wait_until(lambda: pid_file.read(dns_pid(cloud)), "a DNS server runs")
        victim = choose(pid)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda old=pid: pid_file.read(dns_pid(cloud)) not in (None, old), "another DNS server runs")
        wait_until(
            lambda: sorted(look_up(cloud, asking, front, f"{back}.internal").split()) == both, "names are answered"
        )


def test_who_talks_to_strangers_may_do_nothing(cloud: RunningCloud) -> None:
    pid = wait_until(lambda: pid_file.read(dns_pid(cloud)), "the DNS server runs")
    stranger = half_for_strangers(pid)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{stranger}/status").read_text().splitlines())
    assert set(status["Uid"].split() + status["Gid"].split()) == {str(CONFINES.user)} and not status["Groups"].strip()
    assert not any(int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert status["NoNewPrivs"] == "1" and status["Threads"] == "1"
    limits = Path(f"/proc/{stranger}/limits").read_text()
    for name, limit in (("address space", CONFINES.address_space), ("processes", 0), ("core file size", 0)):
        assert re.search(rf"^Max {name} +{limit} +{limit} ", limits, re.MULTILINE), limits
    assert int(status["VmPeak"].split()[0]) << 10 < CONFINES.address_space // 2, "it is far from its limit"
    opened = {str(link.readlink()) for link in Path(f"/proc/{stranger}/fd").iterdir()}
    assert not [name for name in opened if "state.db" in name], opened
    asked = [
        "setpriv",
        f"--reuid={CONFINES.user}",
        f"--regid={CONFINES.user}",
        "--clear-groups",
        "cat",
        str(cloud.home / "state.db"),
    ]
    assert subprocess.run(asked, capture_output=True, check=False).returncode, "it can't read the database"


def half_for_strangers(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def cloud_id(cloud: RunningCloud) -> str:
    return str(json.loads((cloud.home / "cloud.json").read_text())["id"])


def dns_pid(cloud: RunningCloud) -> Path:
    return Path("/run/roost") / cloud_id(cloud) / "dns.pid"
