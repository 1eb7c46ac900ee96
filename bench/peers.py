"""The peers: the same command from the same files, by bare crun and by podman with its default network.

State owned: a directory below the one that is given, and, for podman, a network namespace of its own, so that
neither its bridge nor its firewall rules touch the host. `close` ends and removes everything.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from harness import free_port, server_argv, until_200

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_NAMESPACES = ("pid", "mount", "ipc", "uts")
_DEVICES = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=1024k"],
    },
    {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"]},
]


class Crun:
    """`crun run` on an unpacked directory: host network, read-only root, limits like a machine's of Roost."""

    def __init__(self, place: Path, root: Path) -> None:
        self._state, self._bundle, self._root = place / "crun", place / "bundle", root
        self._bundle.mkdir(parents=True)
        self._count = 0

    def start(self) -> float:
        """Return the milliseconds from starting crun to the server's first answer."""
        port = free_port()
        self._count += 1
        name = f"roost-bench-{os.getpid()}-{self._count}"
        (self._bundle / "config.json").write_text(json.dumps(self._config(port, name)))
        argv = ["crun", f"--root={self._state}", "run", "--bundle", str(self._bundle), name]
        began = time.perf_counter()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        try:
            until_200(("127.0.0.1", port))
            return (time.perf_counter() - began) * 1000
        finally:
            delete = ["crun", f"--root={self._state}", "delete", "--force", name]
            subprocess.run(delete, check=False, timeout=20, capture_output=True)
            process.wait(timeout=20)

    def _config(self, port: int, name: str) -> dict[str, object]:
        return {
            "ociVersion": "1.0.2",
            "root": {"path": str(self._root), "readonly": True},
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": server_argv(port),
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "cwd": "/",
                "noNewPrivileges": True,
            },
            "mounts": _DEVICES,
            "linux": {
                "namespaces": [{"type": kind} for kind in _NAMESPACES],
                "cgroupsPath": f"/{name}",
                "resources": {
                    "memory": {"limit": 256 << 20},
                    "pids": {"limit": 1024},
                    "cpu": {"shares": 1024, "quota": 100_000, "period": 100_000},
                },
            },
        }

    def close(self) -> None:
        """Nothing runs any more; its files go with the directory."""
        shutil.rmtree(self._state, ignore_errors=True)


class Podman:
    """`podman run -d -p` with its default bridge network, rootful, its own storage.

    One idle container keeps the bridge up, as on a host that runs others. Everything happens in one thread that
    lives in a network namespace of its own; processes that it starts are there too.
    """

    def __init__(self, place: Path, root: Path) -> None:
        self._place = place / "podman"
        self._place.mkdir(parents=True)
        self._thread = ThreadPoolExecutor(1, initializer=_own_network)
        self._count = 0
        self._do(lambda: self._import(root))
        self._do(lambda: self._run(["run", "-d", "--name", "idle", *_limits(), "bench", "/bin/sleep", "3600"]))

    def start(self) -> float:
        """Return the milliseconds from starting podman to the server's first answer on the published port."""
        return self._do(self._start)

    def _do(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result(300)

    def _start(self) -> float:
        port = free_port()
        self._count += 1
        name = f"b{self._count}"
        publish = f"127.0.0.1:{port}:8080"
        argv = self._argv("run", "-d", "--name", name, "-p", publish, *_limits(), "bench", *server_argv())
        began = time.perf_counter()
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        try:
            # podman itself listens on the port and never accepts, hence the short patience
            until_200(("127.0.0.1", port), patience=0.02)
            took = (time.perf_counter() - began) * 1000
            if process.wait(timeout=60):
                raise RuntimeError("podman run failed")
            return took
        finally:
            self._run(["rm", "-f", "-t", "0", name])

    def _import(self, root: Path) -> None:
        tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        subprocess.run(
            self._argv("import", "-", "bench"), stdin=tar.stdout, check=True, timeout=240, capture_output=True
        )
        tar.wait(timeout=20)

    def _argv(self, *words: str) -> list[str]:
        place = self._place
        where = ["--root", f"{place}/root", "--runroot", f"{place}/run", "--tmpdir", f"{place}/tmp"]
        return ["podman", *where, "--events-backend", "none", *words]

    def _run(self, words: list[str]) -> None:
        done = subprocess.run(self._argv(*words), capture_output=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"podman {words[0]} failed: {done.stderr.decode()[-500:]}")

    def close(self) -> None:
        """Remove all containers and the storage."""
        with contextlib.suppress(RuntimeError):
            self._do(lambda: self._run(["rm", "-f", "-a", "-t", "0"]))
        self._thread.shutdown()
        for point in _mounts_below(self._place):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
        shutil.rmtree(self._place, ignore_errors=True)


def _limits() -> list[str]:
    files = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]  # the default may exceed the host's
    return [*files, "--memory", "256m", "--cpus", "1", "--pids-limit", "1024"]


def _own_network() -> None:
    """Move the calling thread into a new network namespace with loopback up."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)


def _mounts_below(place: Path) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(str(place))), reverse=True)


def image_root(layer: str) -> Path:
    """Return the unpacked directory of a base image's layer."""
    return Path("/var/cache/roost/layers") / layer
