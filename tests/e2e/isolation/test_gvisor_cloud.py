"""`isolation = "gvisor"` as a user meets it: by the command line, and an app that sleeps and wakes through the edge."""

from __future__ import annotations

import json
import time

from tests.e2e.cloud.conftest import wait_until
from tests.e2e.cloud.programs import fresh
from tests.e2e.isolation.conftest import SERVER, Arena


def test_the_command_line(arena: Arena) -> None:
    roost, app = arena.cloud.roost, arena.app
    made = roost(
        "machine", "run", "roost/base:bookworm", "-a", app, "--isolation", "gvisor", "--json", "--",
        "sh", "-c", "echo begun; trap 'exit 5' INT; while :; do sleep 0.1; done",
    )  # fmt: skip
    machine = json.loads(made.stdout)["id"]
    arena.made.append(machine)
    try:
        assert "4.4.0" in roost("machine", "exec", machine, "-a", app, "--", "cat", "/proc/version").stdout
        wait_until(lambda: "begun" in roost("logs", "-a", app).stdout, "its output is in the log")
        roost("machine", "suspend", machine, "-a", app)
        assert arena.state(machine) == "suspended"
        roost("machine", "start", machine, "-a", app)
        assert arena.exec(machine, "true").json()["exit_code"] == 0
        listed = arena.cloud.api("GET", f"/apps/{app}/machines/{machine}/ps").json()
        assert "sh" in json.dumps(listed)
        roost("machine", "stop", machine, "-a", app)
        assert arena.state(machine) == "stopped"
        exits = [event["request"] for event in arena.get(machine)["events"] if event["type"] == "exit"]
        assert (exits[0]["exit_event"]["exit_code"], exits[0]["exit_event"]["requested_stop"]) == (5, True), exits
    finally:
        arena.destroy(machine)


def test_an_app_sleeps_and_wakes_through_the_edge(arena: Arena) -> None:
    name = fresh("gvisor")
    assert arena.cloud.api("POST", "/apps", json={"app_name": name, "org_slug": "personal"}).status_code == 201
    served = Arena(arena.cloud, name, b"", {}, "")
    service = {
        "internal_port": 8080, "autostop": "suspend", "autostart": True, "idle_timeout": "600s",
        "ports": [{"port": 80, "handlers": ["http"]}],
        "checks": [{"type": "http", "path": "/", "interval": "1s", "timeout": "1s"}],
    }  # fmt: skip
    try:
        machine = served.machine("gvisor", "perl", "-e", SERVER, services=[service])
        assert wait_until(lambda: arena.cloud.get(name).text == "ok", "it answers through the edge")
        checks = wait_until(lambda: served.get(machine).get("checks"), "its health is looked at")
        wait_until(lambda: served.get(machine)["checks"][0]["status"] == "passing", f"it is healthy, not {checks}")
        for verb, state in (("suspend", "suspended"), ("stop", "stopped")):
            done = arena.cloud.api("POST", f"/apps/{name}/machines/{machine}/{verb}", json={})
            assert done.status_code == 200, done.text
            wait_until(lambda wanted=state: served.state(machine) == wanted, f"it is {state}")
            began = time.monotonic()
            answer = arena.cloud.get(name)
            took = time.monotonic() - began
            assert (answer.status_code, answer.text) == (200, "ok")
            print(f"a request woke a gVisor machine that was {state} in {took * 1000:.0f} ms")
            assert took < 10
    finally:
        arena.cloud.roost("apps", "destroy", name, "--yes", check=False)
