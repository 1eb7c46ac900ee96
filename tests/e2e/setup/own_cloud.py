"""Clouds made through `./roost`, the way a user makes them, and proof that nothing of them is left."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import free_port as free_port

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Ended:
    code: int
    out: str
    err: str


@dataclass
class OwnCloud:
    """A home and two ports for a cloud, which need not exist."""

    home: Path
    http_port: int
    api_port: int

    def roost(self, *arguments: str, timeout: float = 180, **environment: str) -> Ended:
        """Run ./roost with this home; never raises for an exit code."""
        done = subprocess.run(
            [ROOT / "roost", *arguments],
            env={**os.environ, **environment, "ROOST_HOME": str(self.home)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            text=True,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def up(self, *arguments: str, **environment: str) -> Ended:
        ports = ("--http-port", str(self.http_port), "--api-port", str(self.api_port))
        return self.roost("up", *ports, *arguments, **environment)

    def status(self) -> dict[str, Any]:
        done = self.roost("status", "--json")
        assert done.code == 0, done.err
        status: dict[str, Any] = json.loads(done.out)
        return status

    @property
    def id(self) -> str:
        return str(json.loads((self.home / "cloud.json").read_text())["id"])


def traces(cloud_id: str, home: Path) -> list[str]:
    """Name everything on this host that belongs to the cloud."""
    found = []
    marks = (cloud_id, str(home))
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if any(mark in line for mark in marks):
            found.append(f"mount {line.split()[4]}")
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        if str(home) in backing.read_text():
            found.append(f"loop device {backing.parts[3]}")
    found += [f"link {link.name}" for link in Path("/sys/class/net").iterdir() if cloud_id in link.name]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found += [f"nft {line}" for line in tables.splitlines() if cloud_id in line]
    for directory, names, _files in os.walk("/sys/fs/cgroup"):
        found += [f"cgroup {directory}/{name}" for name in names if cloud_id in name]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if int(process.parts[2]) != os.getpid() and any(mark in words for mark in marks):
            found.append(f"process {process.parts[2]} {words[:120]}")
    if (Path("/run/roost") / cloud_id).exists():
        found.append(f"/run/roost/{cloud_id}")
    return found
