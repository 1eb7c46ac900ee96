"""An app is called in every way, by http and https, while all about it changes: not one request is lost.

The clients are those of bench/zero_lost.py, which changes more and for longer. Rolling deploys and rollbacks are in
tests/e2e/cloud/test_under_load.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud.conftest import ROOT, wait_until
from tests.e2e.cloud.programs import fresh
from tests.e2e.tls.conftest import DOMAIN, TlsCloud, upload
from tests.e2e.tls.made import self_made

SOURCE = ROOT / "bench" / "zero_lost_app"


def write(place: Path, app: str, release: str) -> Path:
    if not place.exists():
        shutil.copytree(SOURCE, place)
    (place / "Procfile").write_text("web: python web.py\n")
    toml = (SOURCE / "roost.toml").read_text().format(app=app, strategy="bluegreen")
    (place / "roost.toml").write_text(toml)
    (place / "release.txt").write_text(release)
    return place


@asynccontextmanager
async def called(cloud: TlsCloud, app: str, name: str, trusted: Path) -> AsyncIterator[dict[str, Any]]:
    """Call the app; what became of the requests is in the dictionary afterwards."""
    words = (cloud.http_port, f"{app}.{DOMAIN}", cloud.https_port, name, trusted, 1)
    clients = await asyncio.create_subprocess_exec(
        sys.executable, ROOT / "bench" / "zero_lost_load.py", *map(str, words),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    found: dict[str, Any] = {}
    try:
        assert clients.stdout is not None
        await asyncio.wait_for(clients.stdout.readline(), 20)
        yield found
        out, _ = await asyncio.wait_for(clients.communicate(b"\n"), 40)
        found |= json.loads(out)
    finally:
        if clients.returncode is None:
            clients.kill()
            await clients.wait()


@pytest.mark.timeout(120)
async def test_nothing_is_lost_whatever_changes(cloud: TlsCloud, tmp_path: Path) -> None:
    app, name = fresh("zero"), f"{fresh('www')}.test"
    place, trusted = tmp_path / "app", tmp_path / "trusted.pem"
    pairs = [self_made("first.test", name), self_made("second.test", name)]
    trusted.write_text("".join(chain for chain, _ in pairs))

    def change() -> None:
        upload(cloud, app, name, *pairs[1])
        cloud.roost("deploy", write(place, app, "two"))
        pid = cloud.roostd_pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: _pid(cloud) not in (0, pid), "the next roostd answers")

    cloud.roost("launch", write(place, app, "one"), "--name", app, "--yes", timeout=240)
    try:
        upload(cloud, app, name, *pairs[0])
        async with called(cloud, app, name, trusted) as found:
            await asyncio.to_thread(change)
        assert found["failed"] == []
        assert len(found["well"]) == 8 and min(found["well"].values()) > 1, found["well"]
        assert cloud.fetch(name, "/", cloud.context(trusted.read_text()))[1] == b"two"
    finally:
        cloud.roost("apps", "destroy", app, "--yes", check=False)


def _pid(cloud: TlsCloud) -> int:
    try:
        return cloud.roostd_pid
    except Exception:
        return 0
