"""A host short of memory takes it back from those who sleep, and they wake all the same."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.test_sleep_and_wake import config, create, state


def restart(cloud: RunningCloud) -> None:
    """Let roostd read its settings again."""
    os.kill(cloud.roostd_pid, signal.SIGTERM)
    cloud.roost("up", "--home", cloud.home)


@pytest.fixture
def short_of_memory(cloud: RunningCloud) -> Iterator[None]:
    """A reserve that no host has, so that every suspended machine is one too many."""
    settings = cloud.home / "config.toml"
    before = settings.read_text()
    try:
        settings.write_text("[memory]\nreserve_mb = 100000000\n")
        restart(cloud)
        yield
    finally:
        settings.write_text(before)
        restart(cloud)


def test_a_suspended_machine_gives_its_memory_back_and_a_request_starts_it(
    cloud: RunningCloud, short_of_memory: None
) -> None:
    app = f"pressed-{uuid.uuid4().hex[:8]}"
    cloud.roost("apps", "create", app)
    try:
        assert create(cloud, app, config()).status_code == 200
        (machine,) = cloud.machines(app)
        first = cloud.get(app).text
        cloud.roost("machine", "suspend", machine["id"], "-a", app)
        wait_until(lambda: state(cloud, app) == "stopped", "the suspended machine is stopped")
        events = cloud.json("machine", "status", machine["id"], "-a", app)["events"]
        assert any("short of memory" in e["request"].get("reason", "") for e in events), events
        answer = cloud.get(app)
        assert answer.status_code == 200
        assert answer.text != first  # another process: its memory was given back
    finally:
        cloud.roost("apps", "destroy", app, "--yes", check=False)
