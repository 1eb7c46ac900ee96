"""Values for unit tests: a machine with sensible fields, changed by keyword."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from roost.model.machine import ExitInfo, Machine, MachineState
from roost.model.machine_config import MachineConfig, Service

WEB = MachineConfig(image="roost/base:bookworm", services=(Service(8080, autostop="suspend", idle_timeout=60.0),))


def machine(**changes: Any) -> Machine:
    base = Machine(
        id="0123456789abcd",
        app="shop",
        name="app-012345",
        state=MachineState.STARTED,
        desired=MachineState.STARTED,
        config=WEB,
        instance_id="01J0000000000000000000000A",
        region="local",
        image_digest="sha256:" + "0" * 64,
        release=1,
        process_group="app",
        slot=1,
        private_ip="fdaa:1234:5678::101",
        private_ipv4="10.1.1.1",
        cordoned=False,
        restarts=0,
        last_exit=None,
        created_at=1000.0,
        updated_at=1000.0,
    )
    return replace(base, **changes)


def service(**changes: Any) -> MachineConfig:
    return replace(WEB, services=(replace(WEB.services[0], **changes),))


def exited(code: int = 1, **changes: Any) -> ExitInfo:
    return replace(ExitInfo(code, 0, False, False, 1000.0), **changes)
