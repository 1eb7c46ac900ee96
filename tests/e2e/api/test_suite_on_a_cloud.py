"""The API's shared suite on a real cloud, made and removed with the command line."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.contract.api.machine_suite import MachineSuite
from tests.contract.api.suite import ApiSuite
from tests.ports import free_port

ROOST = Path(__file__).parents[3] / "roost"


def roost(home: Path, *words: str) -> None:
    env = {**os.environ, "ROOST_HOME": str(home)}
    done = subprocess.run([ROOST, *words], env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"roost {words[0]}: {done.stdout}\n{done.stderr}"


def show_faults(log: Path) -> None:
    """Print what roostd failed at unexpectedly: pytest shows it beside a failure."""
    lines = log.read_text().splitlines() if log.exists() else []
    print("\n".join(line.replace("\\n", "\n") for line in lines if "traceback" in line))


@pytest.fixture(scope="module")
def cloud() -> Iterator[tuple[str, str]]:
    """Address and token of a fresh cloud."""
    with tempfile.TemporaryDirectory(prefix="roost-api-", dir="/var/tmp") as directory:
        home, port = Path(directory) / "home", free_port()
        try:
            roost(home, "up", "--home", str(home), "--http-port", str(free_port()), "--api-port", str(port))
            yield f"127.0.0.1:{port}", (home / "keys" / "cli.token").read_text().strip()
        finally:
            show_faults(home / "log" / "roostd.log")
            roost(home, "destroy-cloud", "--yes")


class TestOnACloud(ApiSuite, MachineSuite):
    @pytest.fixture
    def address(self, cloud: tuple[str, str]) -> str:
        return cloud[0]

    @pytest.fixture
    def token(self, cloud: tuple[str, str]) -> str:
        return cloud[1]

    async def test_commands_run_inside_the_machine(self, http: httpx2.AsyncClient, machine: str) -> None:
        """Guards the suite itself: what it talks to is a machine of its own, not this host."""
        found = (await http.get(machine)).json()
        script = "cat /proc/self/uid_map; cat /proc/net/if_inet6; hostname"
        seen = (await http.post(f"{machine}/exec", json={"command": ["sh", "-c", script]})).json()["stdout"]
        assert seen.split()[:2] != ["0", "0"]
        assert found["private_ip"].startswith("fdaa:")
        assert "fdaa" in seen
        assert found["id"] in seen
