"""A secret is in the machine that may see it, and nowhere else on the server: searched for, byte by byte."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cloud.conftest import RunningCloud
from tests.e2e.cloud.programs import fresh

CHUNK = 4 << 20
SHOW = ["sh", "-c", 'printf %s "$PLANTED" | sha256sum; touch /root/written; sync']


@pytest.fixture
def app(cloud: RunningCloud) -> Iterator[str]:
    name = fresh("sealed")
    cloud.roost("apps", "create", name)
    yield name
    cloud.roost("apps", "destroy", name, "--yes", "--force", check=False)


def data_of(path: Path) -> Iterator[bytes]:
    """The written parts of a file, which may be a sparse disk image."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        end, at = os.fstat(fd).st_size, 0
        while at < end:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
                hole = os.lseek(fd, at, os.SEEK_HOLE)
            except OSError:
                return
            last = b""
            while at < hole:
                piece = os.pread(fd, min(CHUNK, hole - at), at)
                if not piece:
                    return
                yield last + piece
                last, at = piece[-100:], at + len(piece)
    finally:
        os.close(fd)


def holders(needle: bytes, home: Path) -> list[str]:
    """Files below the home that hold the needle, and processes that have it in their command line."""
    found = []
    for directory, names, entries in os.walk(home):
        if Path(directory).name == "layers":
            names.clear()
            continue
        for entry in entries:
            path = Path(directory, entry)
            if path.is_file() and not path.is_symlink() and any(needle in piece for piece in data_of(path)):
                found.append(str(path))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if needle in (process / "cmdline").read_bytes():
                found.append(str(process))
        except OSError:
            continue
    return found


def test_a_planted_secret_is_found_nowhere(cloud: RunningCloud, app: str) -> None:
    value = f"planted-{secrets.token_hex(24)}"
    assert holders(b"SQLite format 3", cloud.home), "the search finds nothing at all"
    cloud.roost("secrets", "set", "-a", app, "PLANTED=-", stdin=value)
    config = {
        "image": "roost/base:bookworm",
        "init": {"exec": ["sleep", "infinity"]},
        "stop_config": {"signal": "SIGKILL"},
    }
    machine = cloud.api("POST", f"/apps/{app}/machines", json={"config": config}).json()
    path = f"/apps/{app}/machines/{machine['id']}"
    seen = cloud.api("POST", f"{path}/exec", json={"command": SHOW}).json()
    assert seen["exit_code"] == 0, seen
    assert holders(value.encode(), cloud.home) == []
    assert cloud.json("admin", "rotate-keys")["data_keys"] >= 1
    assert holders(value.encode(), cloud.home) == []
    told = [
        cloud.api("GET", where).text
        for where in (
            path,
            f"{path}/versions",
            f"{path}/events",
            f"{path}/ps",
            f"/apps/{app}/secrets",
            f"/apps/{app}/logs",
        )
    ]
    assert not [text for text in told if value in text]
    restarted = cloud.api("POST", f"{path}/restart")
    assert restarted.status_code == 200, restarted.text
    again = cloud.api("POST", f"{path}/exec", json={"command": SHOW}).json()
    assert again["stdout"] == seen["stdout"]
    shown = cloud.api("POST", f"{path}/exec", json={"command": ["sh", "-c", "echo $PLANTED"]}).json()
    assert shown["stdout"].strip() == value
    refused = cloud.api("GET", f"/apps/{app}/secrets/PLANTED?show_secrets=true")
    assert (refused.status_code, value in refused.text) == (400, False)
