"""`roost scale`, `config`, `image show` and what looks at machines, against the real API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def machine(run: Run) -> str:
    assert run("apps", "create", "shop").exit_code == 0
    made = run("machine", "run", "roost/base:bookworm", "-a", "shop", "--json", "--", "sleep", "60")
    return str(json.loads(made.stdout)["id"])


def test_scale_count(run: Run, machine: str, control: Any) -> None:
    assert run("scale", "count", "app=3", "worker=0", "-a", "shop").stdout == "app: 3, worker: 0\n"
    assert control.world.asked[-1] == ("scale", "shop", {"app": 3, "worker": 0})
    assert run("scale", "count", "2", "-a", "shop").exit_code == 0
    assert control.world.asked[-1] == ("scale", "shop", {"app": 2})
    for bad in ("x", "-1", "app=", "99999", "app=two"):
        assert run("scale", "count", "-a", "shop", "--", bad).exit_code == 2, bad
    assert "process group" in run("scale", "count", "other=1", "-a", "shop").stderr
    assert run("scale", "count", "1", "-a", "nothing").exit_code == 3


def test_scale_sizes(run: Run, machine: str) -> None:
    assert "1 shared cpus, 256 MB" in run("scale", "show", "-a", "shop").stdout
    assert run("scale", "vm", "performance-2x", "-a", "shop").exit_code == 0
    row, none = json.loads(run("scale", "show", "-a", "shop", "--json").stdout)
    assert (none["group"], none["count"]) == ("worker", 0)
    assert row == {"group": "app", "count": 1, "started": 1, "sizes": ["2 performance cpus, 4096 MB"]}
    assert run("scale", "memory", "8192", "-a", "shop", "--group", "app").exit_code == 0
    assert "8192 MB" in run("scale", "show", "-a", "shop").stdout
    assert run("scale", "vm", "huge", "-a", "shop").exit_code == 2
    assert run("scale", "memory", "512", "-a", "shop", "--group", "none").exit_code == 3


def test_config(run: Run) -> None:
    assert run("apps", "create", "shop").exit_code == 0
    assert run("config", "show", "-a", "shop").exit_code == 3
    assert run("config", "validate").exit_code == 3
    Path("roost.toml").write_text('app = "shop"\n[env]\nCOLOUR = "red"\n[http_service]\ninternal_port = 3000\n')
    assert run("config", "validate").stdout == "roost.toml is right\n"
    Path("roost.toml").write_text(Path("roost.toml").read_text() + "intenral_port = 3001\n")
    warned = run("config", "validate")
    assert (warned.exit_code, warned.stdout) == (0, "roost.toml can be deployed; warnings: 1\n")
    assert "intenral_port" in warned.stderr
    assert run("deploy", "--image", "debian:bookworm").exit_code == 0
    assert 'COLOUR = "red"' in run("config", "show").stdout
    assert json.loads(run("config", "show", "--json").stdout)["env"] == {"COLOUR": "red"}
    taken = run("config", "save", "-a", "shop")
    assert (taken.exit_code, "--yes" in taken.stderr) == (2, True)
    Path("roost.toml").write_text("[nonsense")
    wrong = run("config", "validate")
    assert (wrong.exit_code, "roost.toml" in wrong.stderr) == (2, True)
    assert run("config", "save", "-a", "shop", "--yes").exit_code == 0
    assert json.loads(run("config", "validate", "--json").stdout)["env"] == {"COLOUR": "red"}
    Path("there").mkdir()
    assert run("config", "save", "there", "-a", "shop").exit_code == 0
    assert 'app = "shop"' in Path("there/roost.toml").read_text()


def test_looking_at_machines(run: Run, machine: str, client: Any) -> None:
    assert machine in run("image", "show", "-a", "shop").stdout
    assert json.loads(run("image", "show", "-a", "shop", "--json").stdout)[0]["tag"] == "bookworm"
    assert run("machine", "wait", machine, "-a", "shop").stdout == f"{machine} is started\n"
    assert run("machine", "wait", machine, "-a", "shop", "--state", "stopped", "--timeout", "1").exit_code == 124
    assert json.loads(run("machine", "events", machine, "-a", "shop", "--json").stdout)
    assert "started" in run("machine", "events", machine, "-a", "shop").stdout
    assert "roost/base:bookworm" in run("machine", "versions", machine, "-a", "shop").stdout
    assert "PID" in run("machine", "ps", machine, "-a", "shop").stdout
    assert json.loads(run("machine", "leases", "view", machine, "-a", "shop", "--json").stdout) == []
    lease = client.machines.lease("shop", machine, ttl=60, description="a deploy")
    shown = run("machine", "leases", "view", machine, "-a", "shop")
    assert "a deploy" in shown.stdout
    assert lease["nonce"] not in shown.stdout
    assert run("machine", "leases", "clear", machine, "-a", "shop", "--nonce", "wrong").exit_code == 1
    assert run("machine", "leases", "clear", machine, "-a", "shop", "--nonce", lease["nonce"]).exit_code == 0
    twin = json.loads(run("machine", "clone", machine, "-a", "shop", "--name", "twin", "--json").stdout)
    assert (twin["name"], twin["config"]["init"]) == ("twin", {"cmd": ["sleep", "60"]})
