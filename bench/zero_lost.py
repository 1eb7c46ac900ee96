"""Requests that are lost while everything changes at once: none may be.

One app with two machines is called in every way, by http and https: kept connections, new ones, WebSockets, streams,
slow uploads. Meanwhile come a rolling and a bluegreen deploy, a rollback, scaling up and down, a certificate renewed,
200 changes of the app's route, `roostd` killed, and a roostd whose configuration of Envoy's listeners is another one.
With one cell of the edge, then with three.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import harness
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from harness import PYTHON, ROOT, Cloud, Report, say

APP = "busy"
NAME = "www.zero-lost.test"
LOAD = ROOT / "bench" / "zero_lost_load.py"
SOURCE = ROOT / "bench" / "zero_lost_app"
CONFIG = (SOURCE / "roost.toml").read_text()  # with {app} and {strategy}
# What makes a roostd that wants Envoy's listeners otherwise, as a later Roost would: read at a Python's start.
NEWER = """
import os, sys
if os.path.exists({flag!r}) and "roost.daemon.roostd" in " ".join(sys.orig_argv):
    import roost.edge.listener as listener
    listener.MAX_HEADERS_KIB = 60
"""


class Authority:
    """Signs certificates for NAME, each with a key of its own."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "zero-lost authority")])
        self.file = place / "authority.pem"
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = self._builder(self._name, self._key.public_key())
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = made.add_extension(usage, critical=True)
        self.file.write_bytes(made.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    def issue(self) -> tuple[Path, Path]:
        """Return the files of a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)]), key.public_key())
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        chain, secret = self._place / "chain.pem", self._place / "key.pem"
        chain.write_bytes(made.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return chain, secret

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        now = datetime.now(UTC)
        return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=9))


@dataclass
class Changes:
    """What happens to the app and the cloud, and when. Each method is one change; it returns when it is in effect."""

    cloud: Cloud
    source: Path
    authority: Authority
    flag: Path
    release: int = 1
    log: list[tuple[float, float, str]] = field(default_factory=list)  # began, ended (Unix times), what

    def do(self, what: str, change: Callable[[], object]) -> None:
        """Make a change and write down when."""
        began = time.time()
        change()
        self.log.append((began, time.time(), what))
        say(f"zero lost: {what}: {time.time() - began:.1f} s")

    def write(self, strategy: str = "rolling") -> None:
        """Write the next release's source."""
        (self.source / "release.txt").write_text(f"{self.release}\n")
        (self.source / "roost.toml").write_text(CONFIG.format(app=APP, strategy=strategy))
        self.release += 1

    def deploy(self, strategy: str) -> None:
        """Deploy a new release."""
        self.write(strategy)
        self.cloud.roost("deploy", self.source)

    def rollback(self) -> None:
        """Go back to the release before."""
        self.cloud.roost("rollback", "-a", APP)

    def scale(self, count: int) -> None:
        """Have so many machines."""
        self.cloud.roost("scale", "count", f"app={count}", "-a", APP)

    def renew(self) -> None:
        """Put a new certificate in the old one's place."""
        chain, key = self.authority.issue()
        self.cloud.roost("certs", "import", NAME, "--fullchain", chain, "--private-key", key, "-a", APP)

    def route(self, times: int) -> None:
        """Change the app's route: one of its machines gets no requests, then gets some again."""
        machines = [one["id"] for one in self.cloud.call("GET", f"/apps/{APP}/machines?summary=true")]
        for number in range(times):
            verb = ("cordon", "uncordon")[number % 2]
            self.cloud.call("POST", f"/apps/{APP}/machines/{machines[number // 2 % len(machines)]}/{verb}")

    def kill_roostd(self) -> None:
        """Kill roostd, and wait for the next one."""
        pid = self.cloud.pids()[0]
        os.kill(pid, signal.SIGKILL)
        self._until(lambda status: status["pid"] != pid and status["edge"]["connected"])

    def another_listener(self) -> None:
        """Have a roostd with other listeners bring them to Envoy."""
        self.flag.touch()
        self.kill_roostd()
        self._until(lambda status: status["edge"]["detail"].get("rollout") in ("done", "rolled back"))
        edge = self.cloud.call("GET", "/status")["edge"]
        if edge["detail"]["rollout"] != "done":
            raise RuntimeError(f"the new listeners were not taken: {edge}")

    def _until(self, condition: Callable[[Any], bool], timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception):
                self.cloud._link = None
                if condition(self.cloud.call("GET", "/status")):
                    return
            time.sleep(0.05)
        raise TimeoutError("roostd did not come back as it should")


@contextlib.contextmanager
def load(cloud: Cloud, authority: Authority) -> Iterator[dict[str, Any]]:
    """Call the app; what became of it is in the dictionary afterwards."""
    argv = [PYTHON, LOAD, cloud.http_port, f"{APP}.localhost", cloud.https_port, NAME, authority.file, 12]
    clients = subprocess.Popen([str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert clients.stdin is not None
    assert clients.stdout is not None
    found: dict[str, Any] = {}
    try:
        clients.stdout.readline()
        yield found
        out, _ = clients.communicate("\n", timeout=90)
        found |= json.loads(out)
    finally:
        clients.kill()
        clients.wait()


@contextlib.contextmanager
def _cloud(cells: int, place: Path) -> Iterator[Cloud]:
    home = place / "home"
    home.mkdir()
    (home / "config.toml").write_text(f"[edge]\ncells = {cells}\n")
    cloud = Cloud(home, harness.free_port(), harness.free_port(), harness.free_port())
    try:
        cloud.up()
        yield cloud
    finally:
        if (home / "cloud.json").exists():
            cloud.roost("destroy-cloud", "--yes")


def run(cells: int, quick: bool) -> tuple[dict[str, Any], Changes]:
    """Change everything under load, once; returns what became of the requests, and what happened when."""
    with tempfile.TemporaryDirectory(prefix="roost-zero-lost-", dir="/var/tmp") as directory:
        place = Path(directory)
        flag = place / "newer"
        (place / "python").mkdir()
        (place / "python" / "sitecustomize.py").write_text(NEWER.format(flag=str(flag)))
        os.environ["PYTHONPATH"] = str(place / "python")
        source = place / "source"
        shutil.copytree(SOURCE, source)
        (source / "Procfile").write_text("web: python web.py\n")
        with _cloud(cells, place) as cloud:
            changes = Changes(cloud, source, Authority(place), flag)
            changes.write()
            cloud.roost("launch", source, "--name", APP, "--yes", timeout=500)
            changes.scale(2)
            changes.renew()
            with load(cloud, changes.authority) as found:
                began = time.monotonic()
                for _ in range(1 if quick else 2):
                    changes.do("rolling deploy", lambda: changes.deploy("rolling"))
                    changes.do("scale up", lambda: changes.scale(3))
                    changes.do("bluegreen deploy", lambda: changes.deploy("bluegreen"))
                    changes.do("scale down", lambda: changes.scale(2))
                    changes.do("rollback", changes.rollback)
                    changes.do("certificate renewed", changes.renew)
                    changes.do("route changes", lambda: changes.route(20 if quick else 200))
                    changes.do("roostd kill -9", changes.kill_roostd)
                    if not changes.flag.exists():
                        changes.do("other listeners", changes.another_listener)
                while time.monotonic() - began < (10 if quick else 60):
                    time.sleep(0.1)
                found["seconds"] = time.monotonic() - began
    return found, changes


def measure(report: Report, quick: bool) -> None:
    """Run with one cell and with three; print each kind and each loss."""
    for cells in (1, 3):
        say(f"zero lost: {cells} cells")
        found, changes = run(cells, quick)
        failed = Counter(kind for kind, _, _ in found["failed"])
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(found["well"].items()))
        report.goal(f"{cells} cells: requests lost of {sum(found['well'].values())}", sum(failed.values()), 0)
        report.detail[f"{cells} cells"] = {"well": found["well"], "failed": failed, "seconds": found["seconds"]}
        notes = report.detail.setdefault("notes", [])
        notes.append(f"{cells} cells, {found['seconds']:.0f} s: {kinds}")
        for kind, at, what in found["failed"][:40]:
            during = [name for began, ended, name in changes.log if began - 0.2 <= at <= ended + 6]
            notes.append(f"  lost: {kind}: {what}, during {' or '.join(during) or 'nothing'}")


if __name__ == "__main__":
    sys.exit(harness.main("zero_lost", measure, __doc__))
