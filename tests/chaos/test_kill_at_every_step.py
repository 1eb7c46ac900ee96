"""roostd killed (SIGKILL) at every step of deploy, wake, sleep, stop and destroy.

The steps are read from the source, so that a new one is tested without anybody thinking of it. After each
kill: the state converges to what was asked, nothing leaks on the host, and an app that was awake answered
every request meanwhile.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.chaos.conftest import FaultyCloud, asking
from tests.e2e.cloud.conftest import ROOT, wait_until

from roost.control.deploys import STEPS

APP = "chaos"
NAMED = sorted(
    {
        name
        for path in (ROOT / "src" / "roost").rglob("*.py")
        for name in re.findall(r"""fault(?:s)?\(\s*"([a-z_.]+)"\s*\)""", path.read_text())
        if path.name != "faults.py"
    }
)
DEPLOY = [f"deploy.{step}.{when}" for step in STEPS for when in ("begin", "end")] + [
    name for name in NAMED if name.startswith(("deploy.", "machine.create.", "machine.start.", "host.start."))
]
RETIRE = [name for name in NAMED if name.startswith(("machine.destroy.", "host.stop.", "host.destroy."))]
WAKE_STOPPED = [name for name in NAMED if name.startswith(("machine.start.", "host.start."))]
WAKE_SUSPENDED = [name for name in NAMED if name.startswith("machine.resume.")]
SUSPEND = [name for name in NAMED if name.startswith("machine.suspend.")]
STOP = [name for name in NAMED if name.startswith(("machine.stop.", "host.stop."))]
UNREACHED = {
    "host.stop.kill",  # of a process that ignores its signal: tested elsewhere
    "host.stop.containers",  # of a machine that has some: test_kill_containers.py
    "host.destroy.network",  # of destroy-cloud: tested elsewhere
    "host.destroy.pool",
}


def write_source(place: Path, text: str) -> None:
    place.mkdir(exist_ok=True)
    (place / "requirements.txt").write_text("")
    (place / "Procfile").write_text("web: python3 main.py\n")
    (place / "main.py").write_text(
        "import http.server, os, signal, sys\n"
        "signal.signal(signal.SIGINT, lambda *a: sys.exit(0))\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    protocol_version = 'HTTP/1.1'\n"
        "    def do_GET(self):\n"
        f"        body = {text!r}.encode()\n"
        "        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()\n"
        "        self.wfile.write(body)\n"
        "    def log_message(self, *a): pass\n"
        "http.server.ThreadingHTTPServer(('0.0.0.0', int(os.environ['PORT'])), Handler).serve_forever()\n"
    )


@pytest.fixture(scope="module")
def source(faulty: FaultyCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("chaos") / "app"
    write_source(place, "start")
    faulty.roost("launch", place, "--name", APP, "--yes", timeout=400)
    yield place
    faulty.roost("apps", "destroy", APP, "--yes", check=False)


def the_machine(cloud: FaultyCloud) -> dict[str, str]:
    machines = cloud.machines(APP)
    assert len(machines) == 1, machines
    return machines[0]


def put(cloud: FaultyCloud, verb: str) -> bool:
    """Stop or suspend the machine; False when roostd did not live to answer."""
    machine = the_machine(cloud)
    try:
        return cloud.api("POST", f"/apps/{APP}/machines/{machine['id']}/{verb}").status_code == 200
    except httpx2.HTTPError:
        return False


def answer_after_wake(cloud: FaultyCloud) -> str:
    """Ask until the app answers: meanwhile only a clear 503 of the cloud is allowed."""
    deadline = time.monotonic() + 30
    while True:
        answer = cloud.get(APP, timeout=30)
        if answer.status_code == 200:
            return answer.text
        assert answer.status_code == 503, answer.text
        assert answer.headers["roost-fault"] == "cloud"
        assert "retry-after" in answer.headers
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)


@pytest.mark.parametrize("step", DEPLOY + RETIRE)
def test_killed_in_a_deploy(faulty: FaultyCloud, source: Path, step: str) -> None:
    if step in UNREACHED:
        pytest.skip("a deploy does not come by this step")
    write_source(source, step)
    answer_after_wake(faulty)
    with asking(faulty, APP) as wrong:
        faulty.arm(step)
        faulty.roost("deploy", source, check=False, timeout=120)
        assert faulty.has_fired(), "roostd never came by this step"
        faulty.back()
        wait_until(lambda: faulty.settled(APP), "the deploy is finished or undone", 60)
        wait_until(lambda: faulty.get(APP).text == step, "the new release serves", 30)
    assert wrong == []
    assert the_machine(faulty)["state"] == "started"


@pytest.mark.parametrize("step", WAKE_STOPPED + WAKE_SUSPENDED)
def test_killed_in_a_wake(faulty: FaultyCloud, source: Path, step: str) -> None:
    expected = answer_after_wake(faulty)
    verb = "suspend" if step in WAKE_SUSPENDED else "stop"
    assert put(faulty, verb)
    faulty.arm(step)
    assert answer_after_wake(faulty) == expected
    assert faulty.has_fired(), "roostd never came by this step"
    faulty.back()
    wait_until(lambda: faulty.settled(APP), "the state has converged")
    assert the_machine(faulty)["state"] == "started"


@pytest.mark.parametrize(("step", "verb"), [(s, "suspend") for s in SUSPEND] + [(s, "stop") for s in STOP])
def test_killed_while_putting_down(faulty: FaultyCloud, source: Path, step: str, verb: str) -> None:
    if step in UNREACHED:
        pytest.skip("this app has no containers, and ends when it is asked to")
    expected = answer_after_wake(faulty)
    faulty.arm(step)
    assert not put(faulty, verb)
    assert faulty.has_fired(), "roostd never came by this step"
    faulty.back()
    wait_until(lambda: faulty.settled(APP), "the state has converged")
    allowed = {"suspended", "started"} if verb == "suspend" else {"stopped"}
    assert the_machine(faulty)["state"] in allowed
    assert answer_after_wake(faulty) == expected
