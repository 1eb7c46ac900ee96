"""Machines: the Fly Machines API's calls (reference, sections 1.3 to 1.5)."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request

from roost.api.auth import GuardedRoute, TheControl, ThePrincipal, documented
from roost.api.bodies import NewMachine, UpdateMachine
from roost.api.errors import Json
from roost.api.leasing import TheHolder
from roost.api.listing import EVENTS_SHOWN, listed, wanted
from roost.api.long_calls import TheLongCalls
from roost.api.reading import AppName, MachineId, event_id, states, wait_timeout
from roost.api.routes.secrets import require_version
from roost.api.shapes import event_to_json, machine_to_json
from roost.control.contract import Control
from roost.model.errors import BadInput, NotFound
from roost.model.guest_config import check_memory
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import MachineConfig, read_machine_config

router = APIRouter(
    prefix="/v1/apps/{app}/machines", route_class=GuardedRoute, dependencies=[documented], tags=["machines"]
)


def full(control: Control, machine: Machine) -> dict[str, Any]:
    """Return a machine with its configuration, events, checks and containers."""
    events = control.machines.events(machine.app, machine.id, EVENTS_SHOWN)
    checks = control.machines.checks(machine.app, machine.id)
    containers = control.machines.containers(machine)
    labels = control.images.labels([machine.image_digest]).get(machine.image_digest)
    return machine_to_json(machine, events=events, checks=checks, containers=containers, labels=labels)


@router.get("", response_model=list[dict[str, Any]])
def list_machines(
    app: AppName,
    request: Request,
    control: TheControl,
    state: Annotated[list[str], Query()] = [],  # noqa: B006
    region: str = "",
    summary: bool = False,
    include_deleted: bool = False,
    include_leases: bool = False,
) -> Json:
    """List the machines; also by `metadata.KEY=VALUE`. `summary` drops config, checks and events.

    With `include_deleted`, or the state `destroyed`, those that were destroyed in the last seven days come after them.
    """
    asked = states(state)
    metadata = {key[9:]: value for key, value in request.query_params.items() if key.startswith("metadata.")}
    found = control.machines.list(app)
    if include_deleted or MachineState.DESTROYED in asked:
        found += control.machines.destroyed(app)
    found = wanted(found, states=asked, region=region, metadata=metadata)
    return Json(listed(control, found, summary=summary, leases=include_leases))


@router.post("")
async def create_machine(
    app: AppName, body: NewMachine, control: TheControl, principal: ThePrincipal, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Make a machine and, unless `skip_launch`, start it. With `lease_ttl` its maker holds it."""
    config = _configuration(body)

    def create() -> dict[str, Any]:
        require_version(control, app, body.min_secrets_version, "min_secrets_version")
        machine = control.machines.create(
            app,
            config,
            name=body.name,
            region=body.region,
            skip_launch=body.skip_launch,
            cordoned=body.skip_service_registration,
        )
        return full(control, machine) | _lease(control, machine, body, principal.name)

    return await long_calls.run(create)


@router.post("/{machine_id}")
async def update_machine(
    app: AppName,
    machine_id: MachineId,
    body: UpdateMachine,
    control: TheControl,
    principal: ThePrincipal,
    holder: TheHolder,
    long_calls: TheLongCalls,
) -> dict[str, Any]:
    """Give the machine a new configuration, the whole of it. It is restarted if it runs, unless `skip_launch`."""
    config = _configuration(body)

    def change() -> dict[str, Any]:
        require_version(control, app, body.min_secrets_version, "min_secrets_version")
        machine = control.updates.update(
            app,
            machine_id,
            config,
            name=body.name,
            region=body.region,
            current_version=body.current_version or "",
            skip_launch=body.skip_launch,
        )
        if body.skip_service_registration:
            machine = control.machines.set_cordoned(app, machine_id, True)
        return full(control, machine) | _lease(control, machine, body, principal.name, holder.nonce)

    return await long_calls.run(holder.may(change))


def _configuration(body: NewMachine) -> MachineConfig:
    """Read the configuration of a machine that is made or changed; raises BadInput that names the key."""
    config = read_machine_config(body.config | ({"skip_secrets": True} if body.skip_secrets else {}))
    check_memory(config.guest, "config.guest")
    return config


def _lease(control: Control, machine: Machine, body: NewMachine, owner: str, nonce: str = "") -> dict[str, str]:
    """Return the nonce of a fresh or refreshed lease, if one was asked for."""
    if not body.lease_ttl:
        return {}
    lease = control.leases.acquire(machine.app, machine.id, ttl=float(body.lease_ttl), owner=owner, nonce=nonce)
    return {"nonce": lease.nonce}


@router.get("/{machine_id}")
def get_machine(app: AppName, machine_id: MachineId, control: TheControl) -> dict[str, Any]:
    """Return a machine."""
    return full(control, control.machines.get(app, machine_id))


@router.delete("/{machine_id}")
async def destroy_machine(
    app: AppName,
    machine_id: MachineId,
    control: TheControl,
    holder: TheHolder,
    long_calls: TheLongCalls,
    force: bool = False,
    kill: bool = False,
) -> dict[str, Any]:
    """Remove a machine; one that runs only with `force` (or `kill`, as `flyctl` sends it)."""
    await long_calls.run(holder.may(lambda: control.machines.destroy(app, machine_id, force=force or kill)))
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
    state: Annotated[list[str], Query()] = ["started"],  # noqa: B006
    timeout: str = "",
    instance_id: str = "",
    version: str = "",
    from_event_id: str = "",
) -> dict[str, Any]:
    """Wait until the machine is in one of the states; 408 after `timeout` seconds (1 to 60; 60 unless told).

    With `from_event_id` it is enough that it was in one of them after that event.
    """
    if instance_id and version and instance_id != version:
        raise BadInput("instance_id and version differ", hint="send one of them")
    machine = await control.machines.wait(
        app,
        machine_id,
        states=states(state) or frozenset({"started"}),
        instance_id=instance_id or version,
        after_event=event_id(from_event_id),
        timeout=wait_timeout(timeout),
    )
    reached = await anyio.to_thread.run_sync(_event_of, control, machine)
    return {
        "ok": True,
        "state": str(machine.state),
        "version": machine.instance_id,
        "event_id": reached,
    }


def _event_of(control: Control, machine: Machine) -> str:
    """Return the id of the latest event that brought the machine into its state, "" when it is gone."""
    try:
        events = control.machines.events(machine.app, machine.id, 50)
    except NotFound:
        return ""
    return next((e.id for e in events if e.status == machine.state), events[0].id if events else "")
