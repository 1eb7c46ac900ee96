"""A cloud with hostile machines, one per runtime, and the programs compiled once."""

from __future__ import annotations

import base64
import gzip
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, cloud
from tests.e2e.cloud.programs import fresh
from tests.e2e.isolation.attacks import ATTACKS

__all__ = ["cloud"]

PROGRAMS = Path(__file__).parent / "programs"
ISOLATIONS = ("crun", "gvisor")
SERVER = (
    "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die;"
    "while (my $c = $s->accept) { while (my $l = <$c>) { last if $l =~ /^\\r?\\n$/ }"
    ' print $c "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok"; close $c }'
)


@dataclass
class Arena:
    """The cloud, and ways to make and enter machines."""

    cloud: RunningCloud
    app: str
    program: bytes  # compiled, for a machine's disk
    strangers: dict[str, str]
    abstract: str
    made: list[str] = field(default_factory=list)

    def machine(self, isolation: str, *command: str, memory_mb: int = 256, **config: Any) -> str:
        """Make a machine and wait until it runs; return its id."""
        body = {
            "image": "roost/base:bookworm",
            "init": {"exec": list(command or ("sleep", "infinity"))},
            "guest": {"cpus": 1, "memory_mb": memory_mb},
            "rootfs": {"size_gb": 1},
            "restart": {"policy": "no"},
            "stop_config": {"signal": "SIGKILL"},
            "isolation": isolation,
        }
        made = self.cloud.api("POST", f"/apps/{self.app}/machines", json={"config": body | config})
        assert made.status_code == 200, made.text
        machine = str(made.json()["id"])
        self.made.append(machine)
        return machine

    def armed(self, isolation: str, **config: Any) -> str:
        """Make a machine with the hostile programs in it."""
        machine = self.machine(isolation, **config)
        text = base64.b64encode(gzip.compress(self.program)).decode()
        done = self.sh(machine, "base64 -d | gunzip > /hostile && chmod 755 /hostile", stdin=text)
        assert done["exit_code"] == 0, done
        return machine

    def sh(self, machine: str, script: str, **options: Any) -> dict[str, Any]:
        answer = self.exec(machine, "sh", "-c", script, **options)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def exec(self, machine: str, *command: str, **options: Any) -> Any:
        body = {"command": list(command), "timeout": 60, **options}
        return self.cloud.api("POST", f"/apps/{self.app}/machines/{machine}/exec", json=body)

    def state(self, machine: str) -> str:
        return str(self.get(machine)["state"])

    def get(self, machine: str) -> dict[str, Any]:
        return dict(self.cloud.api("GET", f"/apps/{self.app}/machines/{machine}").json())

    def destroy(self, machine: str) -> None:
        self.cloud.api("DELETE", f"/apps/{self.app}/machines/{machine}?force=true")
        if machine in self.made:
            self.made.remove(machine)

    def carry_out(self, isolation: str) -> dict[str, str]:
        """Carry out all attacks in one machine; return each one's outcome."""
        machine = self.armed(isolation)
        own = self.sh(machine, "grep -m 1 '^10\\.' /etc/hosts")["stdout"].split()[0]
        gateway = next(ip_network(json.loads((self.cloud.home / "cloud.json").read_text())["ipv4_network"]).hosts())
        told = {"HOST": gateway, "API": self.cloud.api_port, "EDGE": self.cloud.http_port, "SCAN": own}
        told |= {**self.strangers, "ABSTRACT": self.abstract}
        names = [attack.name for attack in ATTACKS]
        answer = self.exec(
            machine, "env", *(f"{name}={value}" for name, value in told.items()), "/hostile", *names, timeout=120
        )
        assert answer.status_code == 200, answer.text
        assert self.state(machine) == "started", "the machine outlives all of it"
        return dict(line.split() for line in answer.json()["stdout"].splitlines())


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("hostile") / "hostile"
    sources = sorted(PROGRAMS.glob("*.c"))
    flags = ("-static", "-O1", "-s", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror")
    subprocess.run(["gcc", *flags, "-o", place, *sources], check=True, timeout=60)
    return place.read_bytes()


@pytest.fixture(scope="session")
def arena(cloud: RunningCloud, program: bytes) -> Iterator[Arena]:
    app, other = fresh("hostile"), fresh("stranger")
    for name, network in ((app, ""), (other, "elsewhere")):
        body = {"app_name": name, "org_slug": "personal"} | ({"network": network} if network else {})
        made = cloud.api("POST", "/apps", json=body)
        assert made.status_code == 201, made.text
    abstract = f"roost-test-{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{abstract}")
    listener.listen()
    there = Arena(cloud, other, b"", {}, abstract)
    stranger = there.machine("crun", "perl", "-e", SERVER)
    lines = there.sh(stranger, "cat /etc/hosts")["stdout"].splitlines()
    addresses = [line.split()[0] for line in lines if not line.startswith(("127.", "::1"))]
    strangers = {"STRANGER": addresses[0], "STRANGER6": addresses[1]}
    arena = Arena(cloud, app, program, strangers, abstract)
    try:
        yield arena
    finally:
        listener.close()
        for name in (app, other):
            cloud.roost("apps", "destroy", name, "--yes", check=False)


def host_state() -> dict[str, str]:
    """What no machine may change about the host, and nobody else changes meanwhile."""
    looked = (
        "kernel/core_pattern",
        "kernel/modprobe",
        "kernel/hostname",
        "vm/overcommit_memory",
        "net/ipv4/ip_forward",
    )
    state = {name: place.read_text() for name in looked if (place := Path("/proc/sys", name)).exists()}
    state["swaps"] = Path("/proc/swaps").read_text()
    state["clock"] = str(round((time.time() - time.monotonic()) / 60))
    return state
