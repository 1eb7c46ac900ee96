"""roostd killed (SIGKILL) at every step of a rotation of keys: all secrets open, and the rotation is finished."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest
from tests.chaos.conftest import FaultyCloud
from tests.e2e.cloud.conftest import ROOT, wait_until

APP = "chaos-keys"
SOURCE = (ROOT / "src" / "roost" / "control" / "sealing.py").read_text()
STEPS = sorted(set(re.findall(r'fault\("([a-z_.]+)"\)', SOURCE)) - {"keys.rotate.sealed"})  # only after an upgrade


@pytest.fixture(scope="module")
def app(faulty: FaultyCloud) -> Iterator[str]:
    faulty.roost("apps", "create", APP)
    faulty.roost("secrets", "set", "-a", APP, "WORD=hidden")
    yield APP
    faulty.roost("apps", "destroy", APP, "--yes", check=False)


@pytest.mark.parametrize("step", STEPS)
def test_killed_in_a_rotation(faulty: FaultyCloud, app: str, step: str) -> None:
    keys = faulty.home / "keys"
    before = {path.name for path in keys.glob("secrets*.key")}
    faulty.arm(step)
    with pytest.raises(httpx2.HTTPError):
        faulty.api("POST", "/admin/rotate-keys")
    assert faulty.has_fired(), "roostd never came by this step"
    faulty.back()
    wait_until(lambda: len(list(keys.glob("secrets*.key"))) == 1, "one key is left")
    assert {path.name for path in keys.glob("secrets*.key")} != before
    config = {
        "image": "roost/base:bookworm",
        "init": {"exec": ["sleep", "infinity"]},
        "stop_config": {"signal": "SIGKILL"},
    }
    machine = faulty.api("POST", f"/apps/{app}/machines", json={"config": config}).json()["id"]
    seen = faulty.api("POST", f"/apps/{app}/machines/{machine}/exec", json={"command": ["sh", "-c", "echo $WORD"]})
    assert seen.json()["stdout"].strip() == "hidden"
    assert faulty.api("DELETE", f"/apps/{app}/machines/{machine}?force=true").status_code == 200
