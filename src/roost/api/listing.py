"""Many machines as JSON, quickly: a listing of thousands of rows is what clients ask for most.

State: the configurations' texts (`json_text`). What is the same in many rows is made once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roost.api.json_text import ConfigTexts
from roost.api.machine_shapes import lease_summary_to_json
from roost.api.shapes import check_to_json, container_to_json, event_to_json, machine_to_json
from roost.control.contract import Control
from roost.model.containers import parts_of
from roost.model.machine import Machine

EVENTS_SHOWN = 20  # in a machine; `GET .../events` gives up to 50
_texts = ConfigTexts()
Json = dict[str, Any]


def wanted(
    machines: Sequence[Machine], *, states: frozenset[str], region: str, metadata: Mapping[str, str]
) -> list[Machine]:
    """Return the machines that a listing's filters leave."""
    return [
        machine
        for machine in machines
        if (not states or machine.state in states)
        and (not region or machine.region == region)
        and all(machine.config.metadata.get(key) == value for key, value in metadata.items())
    ]


def listed(control: Control, machines: Sequence[Machine], *, summary: bool, leases: bool = False) -> list[Json]:
    """Return many machines, whose events and checks are asked for all at once."""
    labels = control.images.labels({machine.image_digest for machine in machines})
    shown = [machine_to_json(m, labels=labels.get(m.image_digest), summary=True) for m in machines]
    if not summary:
        _complete(control, machines, shown)
    if leases:
        current = control.leases.current()
        for out in shown:
            lease = current.get(out["id"])
            out["lease"] = lease_summary_to_json(lease) if lease else None
    return shown


def _complete(control: Control, machines: Sequence[Machine], shown: Sequence[Json]) -> None:
    ids = [machine.id for machine in machines]
    events, checks = control.machines.histories(ids, EVENTS_SHOWN), control.machines.current_checks(ids)
    for machine, out in zip(machines, shown, strict=True):
        out["config"] = _texts.of(machine.config)
        out["events"] = [event_to_json(event) for event in events.get(machine.id, ())]
        out["checks"] = [check_to_json(check) for check in checks.get(machine.id, ())]
        out["host_status"] = "ok"
        if parts_of(machine.config) and (containers := control.machines.containers(machine)):
            out["containers"] = [container_to_json(container) for container in containers]
