"""A server's life from installation to removal, on a whole Debian of its own: scripts/rehearse-boot runs it there.

It reboots the server in the middle and goes on after that. What needs systemd, a kernel with cgroup v2 alone, or rights
that containers lack is shown here and nowhere else: the unit, a start at boot, a volume that grows while it is mounted.
Ends with an error at the first thing that is not as it should be.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from roost.sdk import Client

ROOT = Path(__file__).parents[2]
HALF_WAY = Path("/root/half-way.json")
HOME = Path("/var/lib/roost")
APP = "server"
WATCHDOG = 60  # seconds, as the unit has it
SERVE = """
import http.server, os, threading, time

def count():
    with open("/data/count", "a") as lines:
        while True:
            lines.write(f"{time.time()}\\n")
            lines.flush()
            time.sleep(0.1)

threading.Thread(target=count, daemon=True).start()
os.chdir("/data")
http.server.ThreadingHTTPServer(("", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
FILL = """
with open("/data/large", "wb") as out:
    for _ in range(1200):
        out.write(bytes(range(256)) * 4096)
"""
CHECK = """
import zlib

with open("/data/large", "rb") as data:
    found = 0
    while block := data.read(1 << 20):
        found = zlib.crc32(block, found)
print(found)
"""


def run(*argv: str, check: bool = True) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def roost(*words: str) -> str:
    return run(str(ROOT / "roost"), *words)


def shown(what: str) -> None:
    print(f"[{time.monotonic():5.0f} s] {what}", flush=True)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:g} s: {what}")
        time.sleep(0.5)


def get(path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=120)
    try:
        connection.request("GET", path, headers={"Host": f"{APP}.localhost"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(roost("status", "--json"))
    return found


def client() -> Client:
    return Client(status()["api_url"], (HOME / "keys" / "cli.token").read_text().strip(), timeout=600.0)


def inside(api: Client, machine: str, *argv: str) -> str:
    done = api.machines.exec(APP, machine, list(argv), timeout=300)
    assert done["exit_code"] == 0, done
    return str(done["stdout"])


def unit(name: str) -> str:
    return run("systemctl", "show", "--value", "--property", name, "roost.service").strip()


def install() -> None:
    assert (Path("/sys/fs/cgroup") / "cgroup.controllers").exists(), "this is no server with cgroup v2 alone"
    print(run("scripts/install"))
    assert (unit("ActiveState"), unit("UnitFileState")) == ("active", "enabled")
    shown("scripts/install: the unit is active and enabled")
    assert "FAIL" not in roost("doctor")
    shown("roost doctor: nothing fails")


def first_app(api: Client) -> str:
    api.apps.create(APP)
    volume = api.volumes.create(APP, "data", size_gb=1)
    roost("image", "pull", "roost/python:bookworm")
    shown("a base image was made")
    config = {
        "image": "roost/python:bookworm",
        "init": {"exec": ["python3", "-c", SERVE]},
        "mounts": [{"volume": volume["id"], "path": "/data"}],
        "services": [{"internal_port": 8080, "autostop": "off", "ports": [{"port": 80, "handlers": ["http"]}]}],
        "guest": {"cpus": 1, "memory_mb": 256},
    }
    machine = api.machines.create(APP, config)["id"]
    wait_until(lambda: get("/count")[0] == 200, "the app answers")
    shown("an app with a volume answers")
    return str(machine)


def grow(api: Client, machine: str) -> str:
    """Extend the volume while it is mounted and written to; returns the checksum of a file larger than it was."""
    volume = api.machines.get(APP, machine)["config"]["mounts"][0]["volume"]
    begun = inside(api, machine, "stat", "-c", "%Y", "/proc/1")
    counted = len(get("/count")[1].splitlines())
    answer = api.volumes.extend(APP, volume, 3)
    assert answer["needs_restart"] is False, answer
    blocks = int(inside(api, machine, "stat", "-f", "-c", "%b", "/data"))
    size = blocks * int(inside(api, machine, "stat", "-f", "-c", "%S", "/data"))
    assert size > 2.7 * (1 << 30), size
    assert inside(api, machine, "stat", "-c", "%Y", "/proc/1") == begun
    inside(api, machine, "python3", "-c", FILL)
    assert len(get("/count")[1].splitlines()) > counted
    run("sync")
    shown(f"the volume grew from 1 to 3 GB while it was mounted and written to: {size >> 20} MiB now, same process")
    expected = 0
    for _ in range(1200):
        expected = zlib.crc32(bytes(range(256)) * 4096, expected)
    assert inside(api, machine, "python3", "-c", CHECK).strip() == str(expected)
    shown("what was written beyond the old size is there")
    return str(expected)


def sleep_and_wake(api: Client, machine: str) -> None:
    api.machines.suspend(APP, machine)
    assert api.machines.get(APP, machine)["state"] == "suspended"
    assert get("/count")[0] == 200
    wait_until(lambda: api.machines.get(APP, machine)["state"] == "started", "the wake is recorded", 30)
    shown("suspended, and woken by a request")


def killed() -> None:
    before = int(unit("MainPID"))
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: unit("MainPID") not in ("0", str(before)), "systemd starts roostd again")
    assert get("/count")[0] == 200
    wait_until(lambda: unit("ActiveState") == "active" and "roostd" in run("./roost", "status", check=False), "roostd")
    shown("roostd was killed: systemd started another, the app answered")


def hung() -> None:
    """A roostd that stands still is no longer alive for systemd: it is killed and started again, and no other was."""
    before, restarts = unit("MainPID"), unit("NRestarts")
    time.sleep(2 * WATCHDOG)
    assert (unit("MainPID"), unit("NRestarts")) == (before, restarts), "systemd took a roostd that lives for dead"
    os.kill(int(before), signal.SIGSTOP)
    wait_until(lambda: unit("MainPID") not in ("0", before), "systemd ends a roostd that hangs and starts another")
    assert get("/count")[0] == 200
    wait_until(lambda: unit("ActiveState") == "active" and "roostd" in run("./roost", "status", check=False), "roostd")
    shown("roostd was stopped dead: systemd killed it and started another, the app answered")


def edge_alone() -> None:
    """With roostd unable to start, and every Envoy gone, the edge is started again from what is on disk."""
    database, aside = HOME / "state.db", HOME / "aside"
    run("systemctl", "stop", "roost.service")
    aside.mkdir()
    for path in HOME.glob("state.db*"):
        path.rename(aside / path.name)
    database.write_bytes(b"damaged" * 1000)
    run("systemctl", "start", "roost.service", check=False)
    for name in Path("/proc").glob("[0-9]*/comm"):
        if name.read_text().strip() == "envoy":
            os.kill(int(name.parent.name), signal.SIGKILL)
    wait_until(lambda: get("/count")[0] == 200, "the edge answers without roostd")
    shown("the database was damaged and Envoy killed: roost-edge.service had the app answer")
    run("systemctl", "stop", "roost.service")
    for path in HOME.glob("state.db*"):
        path.unlink()
    for path in aside.iterdir():
        path.rename(HOME / path.name)
    aside.rmdir()
    run("systemctl", "reset-failed", "roost.service", check=False)
    run("systemctl", "start", "roost.service")
    wait_until(lambda: "roostd" in run("./roost", "status", check=False), "roostd is back")
    assert get("/count")[0] == 200
    shown("the database was put back: roostd took over")


def first() -> None:
    install()
    with client() as api:
        machine = first_app(api)
        checksum = grow(api, machine)
        sleep_and_wake(api, machine)
    killed()
    hung()
    HALF_WAY.write_text(json.dumps({"machine": machine, "checksum": checksum, "boot": boot()}))
    shown("rebooting")
    run("sync")
    run("systemctl", "reboot")
    time.sleep(60)


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def second() -> None:
    kept = json.loads(HALF_WAY.read_text())
    assert boot() != kept["boot"]
    wait_until(lambda: unit("ActiveState") == "active", "the unit is active after the reboot")
    wait_until(lambda: get("/count")[0] == 200, "the app answers after the reboot")
    with client() as api:
        assert inside(api, kept["machine"], "python3", "-c", CHECK).strip() == kept["checksum"]
    shown("rebooted: the unit started the cloud, the app answers, its volume is as it was")
    edge_alone()
    run("scripts/install", "--remove")
    roost("destroy-cloud", "--yes")
    left = {
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if "roost" in line],
        "loop devices": run("losetup", "--all", "--noheadings").splitlines(),
        "rules": run("nft", "list", "ruleset").splitlines(),
        "links": [link.name for link in Path("/sys/class/net").iterdir() if link.name.startswith(("rst", "roost"))],
        "directories": [str(path) for path in (HOME, Path("/run/roost")) if path.exists()],
        "unit": [path.name for path in Path("/etc/systemd/system").glob("roost*")],
    }
    assert not any(left.values()), left
    shown("removed: nothing of it is left")


if __name__ == "__main__":
    second() if HALF_WAY.exists() else first()
