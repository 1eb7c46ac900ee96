"""One real cloud for these tests, made and removed through the command line as a user would.

Each test has an app of its own. After the last test the host must look as it did before the first.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.ports import free_port as free_port

ROOT = Path(__file__).parents[3]
ROOST = ROOT / "roost"


@dataclass
class RunningCloud:
    """A cloud under test."""

    home: Path
    http_port: int
    api_port: int

    def roost(self, *arguments: str | Path, check: bool = True, timeout: float = 300, stdin: str = "") -> Any:
        """Run `./roost ARGUMENTS` against this cloud; returns the finished process."""
        env = {**os.environ, "ROOST_HOME": str(self.home)}
        done = subprocess.run(
            [ROOST, *arguments], env=env, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"roost {arguments} exited with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def json(self, *arguments: str | Path) -> Any:
        """Run a listing with --json."""
        return json.loads(self.roost(*arguments, "--json").stdout)

    def get(self, app: str, path: str = "/", **options: Any) -> httpx2.Response:
        """GET from an app through the edge, by its host name."""
        headers = {"Host": f"{app}.localhost:{self.http_port}", **options.pop("headers", {})}
        url = f"http://127.0.0.1:{self.http_port}{path}"
        return httpx2.get(url, headers=headers, timeout=options.pop("timeout", 60), trust_env=False, **options)

    def api(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Call the API below /v1, without the cost of starting the command line."""
        token = (self.home / "keys" / "cli.token").read_text().strip()
        url = f"http://127.0.0.1:{self.api_port}/v1{path}"
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return httpx2.request(method, url, headers=headers, timeout=180, trust_env=False, **options)

    def machines(self, app: str) -> list[dict[str, Any]]:
        answer = self.api("GET", f"/apps/{app}/machines?summary=true")
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    @property
    def roostd_pid(self) -> int:
        return int(self.api("GET", "/status").json()["pid"])


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 30.0) -> Any:
    """Return the condition's first true value; fails with `what` at the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.05)


def traces(cloud_id: str) -> dict[str, list[str]]:
    """What a cloud has on the host: mounts, loop devices, links, rules, control groups, processes."""

    def lines(*argv: str) -> list[str]:
        out = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        return [line for line in out.splitlines() if cloud_id in line]

    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if cloud_id in command:
                processes.append(f"{entry.name} {command}")
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/roost-{cloud_id}")]
    groups += [str(path) for path in Path("/sys/fs/cgroup").glob(f"roost-{cloud_id}")]
    return {
        "mounts": [m for m in Path("/proc/self/mountinfo").read_text().splitlines() if cloud_id in m],
        "loops": lines("losetup", "-a"),
        "links": lines("ip", "-o", "link"),
        "rules": lines("nft", "list", "tables"),
        "cgroups": groups,
        "processes": processes,
        "run": [str(path) for path in Path("/run/roost").glob(cloud_id)],
    }


@pytest.fixture(scope="session")
def cloud() -> Iterator[RunningCloud]:
    with tempfile.TemporaryDirectory(prefix="roost-e2e-", dir="/var/tmp") as directory:
        home = Path(directory) / "home"
        running = RunningCloud(home, free_port(), free_port())
        ports = ("--http-port", str(running.http_port), "--api-port", str(running.api_port))
        try:
            home.mkdir()
            (home / "config.toml").write_text("[metrics]\ninterval = 1\n")  # so that nobody has to wait for them
            running.roost("up", "--home", home, *ports)
            yield running
        finally:
            running.roost("destroy-cloud", "--yes", check=False)
