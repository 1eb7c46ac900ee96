"""Networks of a real cloud, scanned from inside machines; network policies as users make them."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh

SERVE = """
import selectors, socket

found = selectors.DefaultSelector()
for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for port in (8080, 9090):
        s = socket.socket(family)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((any_address, port))
        s.listen(100)
        found.register(s, selectors.EVENT_READ)
print("listening", flush=True)
while True:
    for key, _ in found.select():
        key.fileobj.accept()[0].close()
"""
SCAN = """
import asyncio, json, sys

async def probe(address, port, gate):
    async with gate:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 2)
        except (OSError, asyncio.TimeoutError):
            return None
        writer.close()
        return [address, port]

async def scan(targets):
    gate = asyncio.Semaphore(200)
    found = await asyncio.gather(*(probe(address, port, gate) for address, port in targets))
    print(json.dumps(sorted(hit for hit in found if hit)))

asyncio.run(scan(json.load(sys.stdin)))
"""
METADATA = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254")


class Listening:
    """A machine that listens on two ports by both families, and scans when asked."""

    def __init__(self, cloud: RunningCloud, app: str, **metadata: str) -> None:
        self.cloud, self.app = cloud, app
        config = {
            "image": "roost/python:bookworm",
            "init": {"exec": ["python3", "-c", SERVE]},
            "stop_config": {"signal": "SIGKILL"},
            "guest": {"cpus": 1, "memory_mb": 256},
            "metadata": metadata,
        }
        made = cloud.api("POST", f"/apps/{app}/machines", json={"config": config})
        assert made.status_code == 200, made.text
        self.id = str(made.json()["id"])
        self.path = f"/apps/{app}/machines/{self.id}"
        self.ipv6 = str(made.json()["private_ip"])
        self.ipv4 = self.run("hostname", "-I").split()[0]
        wait_until(lambda: self.reaches((self.ipv4, 9090), ("::1", 9090)), "it does not listen")

    def run(self, *command: str, stdin: str = "") -> str:
        body = {"command": list(command), "timeout": 60, "stdin": stdin}
        done = self.cloud.api("POST", f"{self.path}/exec", json=body)
        assert done.status_code == 200, done.text
        assert done.json()["exit_code"] == 0, done.text
        return str(done.json()["stdout"])

    def reaches(self, *targets: tuple[str, int]) -> list[tuple[str, int]]:
        found = json.loads(self.run("python3", "-c", SCAN, stdin=json.dumps(targets)))
        return [(str(address), int(port)) for address, port in found]

    def targets(self) -> list[tuple[str, int]]:
        return [(address, port) for address in (self.ipv4, self.ipv6) for port in (8080, 9090)]


@pytest.fixture
def apps(cloud: RunningCloud) -> Iterator[dict[str, str]]:
    """Two apps of one network, one in a network of its own, one of another org."""
    made: dict[str, str] = {}
    bodies: dict[str, dict[str, Any]] = {
        "shop": {}, "friend": {}, "apart": {"network": "apart"}, "stranger": {"org_slug": "strangers"},
    }  # fmt: skip
    try:
        for kind, body in bodies.items():
            name = fresh(kind)
            assert cloud.api("POST", "/apps", json={"name": name, **body}).status_code == 201
            made[kind] = name
        yield made
    finally:
        for name in made.values():
            cloud.api("DELETE", f"/apps/{name}?force=true")


def test_a_scan_from_inside_finds_its_own_network_only(cloud: RunningCloud, apps: dict[str, str]) -> None:
    machines = {kind: Listening(cloud, name) for kind, name in apps.items()}
    shop, friend = machines["shop"], machines["friend"]
    everyone = [target for machine in machines.values() for target in machine.targets()]
    assert sorted(shop.reaches(*everyone)) == sorted([*shop.targets(), *friend.targets()])
    for kind in ("apart", "stranger"):
        assert sorted(machines[kind].reaches(*everyone)) == sorted(machines[kind].targets())
    gateway4 = shop.ipv4.rsplit(".", 2)[0] + ".0.1"
    gateway6 = shop.ipv6.split("::")[0] + "::1"
    uplink = cloud.api("POST", f"/apps/{apps['shop']}/ip_assignments", json={"type": "shared_v4"}).json()["ip"]
    ports = (22, 80, cloud.http_port, cloud.api_port, 2019, 9901)
    host = [(a, port) for a in (gateway4, gateway6, uplink, "fe80::1%eth0") for port in ports]
    for address in (gateway4, uplink):
        with socket.create_connection((address, cloud.http_port), timeout=3):
            pass  # the server does listen there
    services = [(address, port) for address in METADATA for port in (80, 443)]
    assert shop.reaches(*host, *services) == []
    near = [(shop.ipv4.rsplit(".", 1)[0] + f".{n}", 8080) for n in range(1, 255)]
    neighbours = cloud.api("GET", "/orgs/personal/machines?limit=1000").json()["machines"]  # of other tests as well
    known = {machine["private_ipv4"] for machine in neighbours} - {machines["apart"].ipv4, machines["stranger"].ipv4}
    found = {address for address, _ in shop.reaches(*near)}
    assert {shop.ipv4, friend.ipv4} <= found <= known


def test_policies_hold_for_machines_that_run_and_ones_that_come(cloud: RunningCloud, apps: dict[str, str]) -> None:
    server, client = Listening(cloud, apps["shop"], role="web"), Listening(cloud, apps["friend"])
    assert client.reaches(*server.targets()) == sorted(server.targets())
    made = cloud.json("network", "policies", "create", "web", "-a", apps["shop"], "--metadata", "role=web",
                      "--ingress", "tcp/8080")  # fmt: skip
    allowed = sorted(target for target in server.targets() if target[1] == 8080)
    assert client.reaches(*server.targets()) == allowed
    roostd = cloud.roostd_pid
    os.kill(roostd, signal.SIGKILL)
    wait_until(lambda: answers(cloud) not in (0, roostd), "roostd is back")
    assert client.reaches(*server.targets()) == allowed
    late = Listening(cloud, apps["shop"], role="web")
    assert client.reaches(*late.targets()) == sorted(target for target in late.targets() if target[1] == 8080)
    cloud.api("POST", f"{late.path}/metadata/role", json={"value": "other"})
    assert client.reaches(*late.targets()) == sorted(late.targets())  # it is no longer selected
    assert cloud.api("DELETE", f"/apps/{apps['shop']}/network_policies/{made['id']}").status_code == 204
    assert client.reaches(*server.targets()) == sorted(server.targets())


def answers(cloud: RunningCloud) -> int:
    try:
        return cloud.roostd_pid
    except (httpx2.TransportError, KeyError):
        return 0
