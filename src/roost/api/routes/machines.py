"""Machines: the Fly Machines API's calls (reference, sections 1.3 to 1.5)."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request

from roost.api.auth import GuardedRoute, TheControl, TheLimits, documented
from roost.api.bodies import NewMachine
from roost.api.long_calls import TheLongCalls
from roost.api.reading import AppName, MachineId, seconds, states
from roost.api.shapes import event_to_json, machine_to_json
from roost.control.contract import Control
from roost.model.errors import BadInput, FailedPrecondition
from roost.model.machine import Machine
from roost.model.machine_config import read_machine_config

router = APIRouter(
    prefix="/v1/apps/{app}/machines", route_class=GuardedRoute, dependencies=[documented], tags=["machines"]
)
EVENTS_SHOWN = 20  # in a machine; `GET .../events` gives up to 50


def _full(control: Control, machine: Machine) -> dict[str, Any]:
    events = control.machines.events(machine.app, machine.id, EVENTS_SHOWN)
    checks = control.machines.checks(machine.app, machine.id)
    return machine_to_json(machine, events=events, checks=checks)


@router.get("")
def list_machines(
    app: AppName,
    request: Request,
    control: TheControl,
    state: Annotated[list[str], Query()] = [],  # noqa: B006
    region: str = "",
    summary: bool = False,
    include_deleted: bool = False,
) -> list[dict[str, Any]]:
    """List the machines; also by `metadata.KEY=VALUE`. `summary` drops config, checks and events."""
    if include_deleted:
        raise BadInput("include_deleted is not supported", hint="a destroyed machine is gone; ask for its events by id")
    wanted = states(state)
    metadata = {key[9:]: value for key, value in request.query_params.items() if key.startswith("metadata.")}
    found = [
        machine
        for machine in control.machines.list(app)
        if (not wanted or machine.state in wanted)
        and (not region or machine.region == region)
        and all(machine.config.metadata.get(key) == value for key, value in metadata.items())
    ]
    return [machine_to_json(machine, summary=True) if summary else _full(control, machine) for machine in found]


@router.post("")
async def create_machine(
    app: AppName, body: NewMachine, control: TheControl, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Make a machine and, unless `skip_launch`, start it."""
    config = read_machine_config(body.config)

    def create() -> dict[str, Any]:
        if body.min_secrets_version is not None:
            _check_secrets_version(control, app, body.min_secrets_version)
        machine = control.machines.create(app, config, name=body.name, region=body.region, skip_launch=body.skip_launch)
        return _full(control, machine)

    return await long_calls.run(create)


def _check_secrets_version(control: Control, app: str, wanted: int) -> None:
    version = control.apps.get(app).secrets_version
    if version < wanted:
        raise FailedPrecondition(
            f"min_secrets_version is {wanted} and the secrets of {app} have version {version}",
            hint="send the version that setting the secrets answered",
        )


@router.get("/{machine_id}")
def get_machine(app: AppName, machine_id: MachineId, control: TheControl) -> dict[str, Any]:
    """Return a machine."""
    return _full(control, control.machines.get(app, machine_id))


@router.delete("/{machine_id}")
async def destroy_machine(
    app: AppName,
    machine_id: MachineId,
    control: TheControl,
    long_calls: TheLongCalls,
    force: bool = False,
    kill: bool = False,
) -> dict[str, Any]:
    """Remove a machine; one that runs only with `force` (or `kill`, as `flyctl` sends it)."""
    await long_calls.run(lambda: control.machines.destroy(app, machine_id, force=force or kill))
    return {"ok": True}


@router.get("/{machine_id}/events")
def list_events(
    app: AppName, machine_id: MachineId, control: TheControl, limit: Annotated[int, Query(ge=1, le=50)] = 20
) -> list[dict[str, Any]]:
    """List the machine's events, newest first."""
    return [event_to_json(event) for event in control.machines.events(app, machine_id, limit)]


@router.get("/{machine_id}/wait")
async def wait_for_machine(
    app: AppName,
    machine_id: MachineId,
    control: TheControl,
    limits: TheLimits,
    state: Annotated[list[str], Query()] = ["started"],  # noqa: B006
    timeout: str = "",
    instance_id: str = "",
    version: str = "",
    from_event_id: str = "",
) -> dict[str, Any]:
    """Wait until the machine is in one of the states; 408 after `timeout` seconds (60 unless told)."""
    if from_event_id:
        raise BadInput("from_event_id is not supported", hint="wait by state, and instance_id")
    if instance_id and version and instance_id != version:
        raise BadInput("instance_id and version differ", hint="send one of them")
    machine = await control.machines.wait(
        app,
        machine_id,
        states=states(state) or frozenset({"started"}),
        instance_id=instance_id or version,
        timeout=seconds(timeout, "timeout", default=60.0, low=1.0, high=limits.wait_timeout),
    )
    events = await anyio.to_thread.run_sync(control.machines.events, app, machine_id, 1)
    return {
        "ok": True,
        "state": str(machine.state),
        "version": machine.instance_id,
        "event_id": events[0].id if events else "",
    }
