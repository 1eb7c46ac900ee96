"""Full disks: of one machine, of the pool, of the home. Whoever has what he needs goes on; the others are told."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.cloud.conftest import RunningCloud, free_port, traces, wait_until
from tests.e2e.cloud.programs import cloud_id, fresh, nothing_added, program, said, server

WRITER = """
import http.server, os

def fill():
    file, size, step = os.open("/fill", os.O_RDWR | os.O_CREAT), 0, 64 << 20
    while step >= 4096:
        try:
            os.posix_fallocate(file, size, step)
            size += step
        except OSError:
            step //= 2
    return "filled"

def write():
    with open("/kept", "wb") as file:
        file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    return "written"

def empty():
    os.unlink("/fill")
    return "emptied"

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            body = {"/fill": fill, "/write": write, "/empty": empty}.get(self.path, lambda: "here")().encode()
        except OSError as error:
            body = os.strerror(error.errno).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""


def launched(cloud: RunningCloud, place: Path, word: str, code: str = WRITER) -> str:
    name = fresh(word)
    cloud.roost("launch", program(place / name, code), "--name", name, "--yes", timeout=240)
    return name


def fill_up(path: Path, *, leave: int = 0) -> None:
    """Take all the space of the file system that `path` is on, but for `leave` bytes."""
    with path.open("wb") as file:
        size, step = 0, 1 << 30
        while step >= 4096:
            try:
                os.posix_fallocate(file.fileno(), size, step)
                size += step
            except OSError:
                step //= 2
        file.truncate(max(0, size - leave))


@contextmanager
def small_cloud(home: Path) -> Iterator[RunningCloud]:
    """A cloud with a pool of 1 GB; nothing of it may be left."""
    home.mkdir(parents=True)
    (home / "config.toml").write_text("[pool]\nsize_gb = 1\n")
    cloud = RunningCloud(home, free_port(), free_port())
    try:
        cloud.roost("up", "--http-port", str(cloud.http_port), "--api-port", str(cloud.api_port))
        its_id = cloud_id(cloud)
        yield cloud
    finally:
        cloud.roost("destroy-cloud", "--yes", check=False)
    assert not any(traces(its_id).values())


@contextmanager
def asking(cloud: RunningCloud, app: str) -> Iterator[None]:
    """Ask `app` all the while; every request must be answered with 200."""
    answers: list[int] = []
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.05):
            answers.append(cloud.get(app).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert set(answers) == {200}
    assert len(answers) > 10


def test_a_machine_that_fills_its_disk_hurts_no_other(cloud: RunningCloud, tmp_path: Path) -> None:
    full, neighbour = launched(cloud, tmp_path, "full"), launched(cloud, tmp_path, "neighbour")
    try:
        before = cloud.api("GET", "/status").json()["pool"]
        assert cloud.get(full, "/fill").text == "filled"
        assert cloud.get(full, "/write").text == "No space left on device"
        assert cloud.get(neighbour, "/write").text == "written"
        assert cloud.get(full).text == "here"
        (machine,) = cloud.machines(full)
        assert cloud.roost("machine", "exec", machine["id"], "-a", full, "--", "echo", "hi").stdout == "hi\n"
        after = cloud.api("GET", "/status").json()["pool"]
        assert after["total_bytes"] - after["used_bytes"] > (before["total_bytes"] - before["used_bytes"]) / 2

        cloud.roost("machine", "restart", machine["id"], "-a", full)
        assert cloud.get(full).text == "here"
        assert cloud.get(full, "/empty").text in ("emptied", "No such file or directory")
        assert cloud.get(full, "/write").text == "written"
    finally:
        for app in (full, neighbour):
            cloud.roost("apps", "destroy", app, "--yes", check=False)


@pytest.mark.timeout(400)
def test_a_full_pool_is_said_and_what_runs_goes_on(tmp_path: Path) -> None:
    with small_cloud(Path(tmp_path) / "home") as cloud:
        awake, asleep, stopped = (launched(cloud, tmp_path, word) for word in ("awake", "asleep", "stopped"))
        cloud.roost("machine", "suspend", cloud.machines(asleep)[0]["id"], "-a", asleep)
        cloud.roost("machine", "stop", cloud.machines(stopped)[0]["id"], "-a", stopped)
        source = program(tmp_path / "next", server("next"))
        filler = cloud.home / "pool" / "filler"
        fill_up(filler, leave=24 << 20)
        kept = said(cloud, "machine", "run", "roost/base:bookworm", "-a", awake, "--", "sleep", "600")
        assert "the pool is full" in kept
        assert cloud.get(stopped).text == "here", "the reserve is for the machines that are there"

        with asking(cloud, awake), nothing_added(cloud):
            fill_up(filler)
            attempts = [
                said(cloud, "machine", "run", "roost/base:bookworm", "-a", awake, "--", "sleep", "600"),
                said(cloud, "deploy", source, "-a", awake),
                said(cloud, "deploy", source, "-a", awake, "--image", "roost/base:bookworm"),
                said(cloud, "launch", source, "--name", fresh("more"), "--yes"),
                said(cloud, "secrets", "set", "-a", awake, "A=1"),
            ]
            for attempt in attempts:
                assert attempt.code == 1, attempt
                assert "no space left" in attempt or "the pool is full" in attempt
                assert "roost image collect" in attempt.text.split("hint: ")[1]
            assert "it is stored, but not rolled out" in attempts[-1]
            assert not (source / "roost.toml").exists()
            refused = cloud.api("POST", f"/apps/{awake}/machines", json={"config": {"image": "roost/base:bookworm"}})
            assert (refused.status_code, refused.json()["status"]) == (503, "insufficient_capacity")
            assert "pool" in said(cloud, "doctor")
        assert cloud.get(asleep).text == "here"

        filler.unlink()
        assert said(cloud, "deploy", source, "-a", awake).code == 0
        wait_until(lambda: cloud.get(awake).text == "next", "the new release serves")
        for app in (asleep, stopped):
            assert cloud.get(app, "/write").text == "written"


@contextmanager
def file_system(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 8 GB that take no space until they are written to."""
    image, place = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(8 << 30)
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.timeout(400)
def test_a_full_home_stops_changes_and_nothing_else(tmp_path: Path) -> None:
    with file_system(tmp_path) as place, small_cloud(place / "home") as cloud:
        awake, asleep, changing = (launched(cloud, tmp_path, word) for word in ("awake", "asleep", "changing"))
        cloud.roost("machine", "suspend", cloud.machines(asleep)[0]["id"], "-a", asleep)
        toml = f'app = "{changing}"\n[deploy]\nrelease_command = "sleep 6"\n[http_service]\ninternal_port = 8080\n'
        slow = program(tmp_path / "slow", server("slow"), toml=toml)
        operation = cloud.roost("deploy", slow, "--detach").stdout.strip()
        wait_until(lambda: len(cloud.machines(changing)) == 2, "the release command runs")

        filler = place / "filler"
        with asking(cloud, awake):
            fill_up(filler)
            for _ in range(3):
                assert cloud.get(asleep).text == "here", "it wakes, though that can't be written down"
            attempts = [
                said(cloud, "apps", "create", fresh("more")),
                said(cloud, "machine", "run", "roost/base:bookworm", "-a", awake, "--", "sleep", "600"),
                said(cloud, "secrets", "set", "-a", awake, "A=1"),
                said(cloud, "launch", program(tmp_path / "next", server("next")), "--name", fresh("more"), "--yes"),
            ]
            for attempt in attempts:
                assert attempt.code == 1, attempt
                assert "no space left" in attempt or "is full" in attempt
                assert "hint: free some" in attempt
            killed = cloud.roostd_pid
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda: said(cloud, "status", "-a", awake).code == 0, "roostd is back on a full disk")
            assert len(cloud.api("GET", "/apps").json()["apps"]) == 3

        filler.unlink()
        ended = wait_until(lambda: ended_operation(cloud, operation), "the interrupted deploy ends", timeout=60)
        assert ended in ("succeeded", "failed")
        after = program(slow, server("after"), toml=toml)
        # The kernel tells the first to sync the pool of what others could not write while the disk was full.
        wait_until(lambda: said(cloud, "deploy", after).code == 0, "deploys work again")
        wait_until(lambda: cloud.get(changing).text == "after", "the new release serves")
        assert len(cloud.machines(changing)) == 1
        assert cloud.get(asleep).text == "here"
        wait_until(lambda: cloud.machines(asleep)[0]["state"] == "started", "its state is written down")
        cloud.roost("apps", "create", fresh("more"))


def ended_operation(cloud: RunningCloud, operation: str) -> str:
    state = str(cloud.api("GET", f"/operations/{operation}").json()["state"])
    return "" if state == "running" else state
