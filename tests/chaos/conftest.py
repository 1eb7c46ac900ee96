"""A cloud whose roostd kills itself where a test says."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from tests.e2e.cloud.conftest import ROOST, RunningCloud, free_port, wait_until


class FaultyCloud(RunningCloud):
    """A cloud with a fault file. `arm` names the step at which roostd will be killed, once."""

    @property
    def fault_file(self) -> Path:
        return self.home.parent / "fault"

    def arm(self, step: str) -> None:
        self.fault_file.write_text(step)

    def has_fired(self) -> bool:
        return not self.fault_file.exists()

    def disarm(self) -> bool:
        """Take the fault back; False when it had fired."""
        fired = self.has_fired()
        self.fault_file.unlink(missing_ok=True)
        return not fired

    def back(self) -> None:
        """Wait until roostd answers again."""

        def answers() -> bool:
            try:
                return self.api("GET", "/apps").status_code == 200
            except httpx2.HTTPError:
                return False

        wait_until(answers, "roostd is back")

    def on_host(self) -> set[str]:
        """Ids of the machines of which something is on the host: directories, control groups, disks, processes."""
        cloud_id = json.loads((self.home / "cloud.json").read_text())["id"]
        found = {path.name for path in Path(f"/run/roost/{cloud_id}/m").glob("*")}
        for controller in Path("/sys/fs/cgroup").glob(f"*/roost-{cloud_id}/*/"):
            found.add(controller.name)
        found |= {path.name for path in Path(f"/sys/fs/cgroup/roost-{cloud_id}").glob("*/")}
        found |= {path.stem for path in (self.home / "pool" / "disks").glob("*.img")}
        return {name for name in found if len(name) == 14 and set(name) <= set("0123456789abcdef")}

    def settled(self, app: str) -> bool:
        """No machine is between two states, no operation runs, and the host has nothing that no row knows."""
        apps = self.api("GET", "/apps").json()["apps"]
        machines = [m for a in apps for m in self.machines(a["name"])]
        between = {"starting", "stopping", "suspending", "destroying", "created"}
        if any(m["state"] in between for m in machines):
            return False
        if any(o["state"] == "running" for o in self.api("GET", f"/operations?app={app}").json()):
            return False
        return self.on_host() <= {m["id"] for m in machines}


@pytest.fixture(scope="session")
def faulty() -> Iterator[FaultyCloud]:
    with tempfile.TemporaryDirectory(prefix="roost-chaos-", dir="/var/tmp") as directory:
        cloud = FaultyCloud(Path(directory) / "home", free_port(), free_port())
        ports = ("--http-port", str(cloud.http_port), "--api-port", str(cloud.api_port))
        env = {**os.environ, "ROOST_FAULT_FILE": str(cloud.fault_file)}
        try:
            subprocess.run([ROOST, "up", "--home", cloud.home, *ports], env=env, check=True, timeout=180)
            yield cloud
        finally:
            cloud.disarm()
            cloud.roost("destroy-cloud", "--yes", check=False)


@contextmanager
def asking(cloud: FaultyCloud, app: str) -> Iterator[list[str]]:
    """Ask an app all the time; gives the list of what went wrong."""
    wrong: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.02):
            try:
                answer = cloud.get(app, timeout=30)
                if answer.status_code != 200:
                    wrong.append(f"{answer.status_code} {answer.text[:200]}")
            except httpx2.HTTPError as error:
                wrong.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield wrong
    finally:
        done.set()
        thread.join()
