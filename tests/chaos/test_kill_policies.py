"""roostd killed (SIGKILL) between a network policy's row and its enforcement: what rows say, packets meet."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from tests.chaos.conftest import FaultyCloud
from tests.chaos.test_kill_at_every_step import NAMED
from tests.e2e.cloud.conftest import wait_until
from tests.e2e.cloud.test_networks import Listening

APP = "chaos-policies"
STEPS = ("policy.create.recorded", "policy.destroy.recorded")
POLICY = {"name": "web", "selector": {"all": True}, "rules": [{"action": "allow", "direction": "ingress",
          "ports": [{"protocol": "tcp", "port": 8080}]}]}  # fmt: skip


def test_every_step_of_every_noun_has_its_tests() -> None:
    tested = ("deploy.", "machine.", "host.", "volume.", "keys.rotate.", "policy.create.", "policy.destroy.")
    tested += ("autoscale.",)  # test_kill_autoscaling.py
    tested += ("acme.",)  # tests/e2e/tls/test_issuing.py
    assert [name for name in NAMED if not name.startswith(tested)] == []
    assert {name for name in NAMED if name.startswith("policy.")} == {
        "policy.create.recorded",
        "policy.destroy.recorded",
    }


@pytest.fixture(scope="module")
def machines(faulty: FaultyCloud) -> Iterator[tuple[Listening, Listening]]:
    faulty.roost("apps", "create", APP)
    try:
        yield Listening(faulty, APP), Listening(faulty, APP)
    finally:
        faulty.roost("apps", "destroy", APP, "--yes", check=False)


def test_killed_before_a_policy_is_enforced(faulty: FaultyCloud, machines: tuple[Listening, Listening]) -> None:
    server, client = machines
    everything = sorted(server.targets())
    allowed = [target for target in everything if target[1] == 8080]
    path = f"/apps/{APP}/network_policies"
    for step, method, after in zip(STEPS, ("POST", "DELETE"), (allowed, everything), strict=True):
        made = faulty.api("GET", path).json()
        which = f"/{made[0]['id']}" if method == "DELETE" else ""
        faulty.arm(step)
        with pytest.raises(httpx2.HTTPError):
            faulty.api(method, path + which, **({"json": POLICY} if method == "POST" else {}))
        assert faulty.has_fired()
        faulty.back()
        wait_until(
            lambda wanted=after: sorted(client.reaches(*server.targets())) == wanted, "packets meet the rows", 20
        )
        assert len(faulty.api("GET", path).json()) == (method == "POST")
