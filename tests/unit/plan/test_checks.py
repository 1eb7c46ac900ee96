"""Which checks steer requests, and which decide deploys."""

from __future__ import annotations

from roost.model.machine_config import Check, MachineConfig, Service
from roost.plan.checks import checks_of, deciding_checks, steering_checks


def test_kinds() -> None:
    config = MachineConfig(
        "i",
        services=(Service(80, checks=(Check(80), Check(81, kind="informational"))),),
        checks={"plain": Check(1), "told": Check(1, kind="informational"), "ready": Check(1, kind="readiness")},
    )
    served = "servicecheck-00-tcp-80"
    assert len(checks_of(config)) == 5
    assert steering_checks(config) == {served, "ready"}
    assert deciding_checks(config) == {served, "ready", "plain"}
