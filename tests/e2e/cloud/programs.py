"""Apps written for a test, commands that may fail, and what a failure may leave behind."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.cloud.conftest import RunningCloud

SERVER = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = {text!r}.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(({host!r}, int(os.environ["PORT"])), Handler).serve_forever()
"""

WEB_AND_WORKER = """
app = "{app}"
kill_signal = "SIGKILL"
[processes]
web = "python web.py"
worker = "sleep infinity"
[http_service]
internal_port = 8080
processes = ["web"]
"""


@dataclass
class Said:
    """How a command ended and what it said."""

    code: int
    text: str

    def __contains__(self, word: str) -> bool:
        return word in self.text


def said(cloud: RunningCloud, *arguments: str | Path) -> Said:
    done = cloud.roost(*arguments, check=False, timeout=240)
    return Said(done.returncode, done.stdout + done.stderr)


def server(text: str = "one", host: str = "0.0.0.0") -> str:
    return SERVER.format(text=text, host=host)


def program(place: Path, code: str, *, toml: str = "", start: str = "python web.py") -> Path:
    """Write an app of one Python file."""
    place.mkdir(exist_ok=True)
    (place / "web.py").write_text(code)
    (place / "Procfile").write_text(f"web: {start}\n")
    if toml:
        (place / "roost.toml").write_text(toml)
    return place


def fresh(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex[:6]}"


def cloud_id(cloud: RunningCloud) -> str:
    return str(json.loads((cloud.home / "cloud.json").read_text())["id"])


def held(cloud: RunningCloud) -> dict[str, Any]:
    """What the cloud has that a failure may not add to."""

    def names(directory: Path) -> list[str]:
        return sorted(path.name for path in directory.iterdir()) if directory.exists() else []

    apps = cloud.api("GET", "/apps").json()["apps"]
    pool, run = cloud.home / "pool", Path("/run/roost") / cloud_id(cloud)
    return {
        "apps": sorted(app["name"] for app in apps),
        "machines": sorted(m["id"] for app in apps for m in cloud.machines(app["name"])),
        "bundles": names(run / "m"),
        "disks": names(pool / "disks"),
        "uploads": names(pool / "spool"),
        "builds": names(pool / "build-scratch"),
        "mounts": sum(cloud_id(cloud) in line for line in Path("/proc/self/mountinfo").read_text().splitlines()),
    }


@contextmanager
def nothing_added(cloud: RunningCloud, *apps: str) -> Iterator[None]:
    """Check that the block leaves the cloud with what it had, and with `apps`, which have no machine."""
    before = held(cloud)
    yield
    assert held(cloud) == before | {"apps": sorted([*before["apps"], *apps])}
