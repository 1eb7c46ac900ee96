"""Acting on one machine: start, stop, restart, suspend, signal, and running a command in it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roost.api.auth import GuardedRoute, TheControl, TheLimits, documented
from roost.api.bodies import ExecCommand, SignalMachine, StopMachine
from roost.api.leasing import TheHolder
from roost.api.limits import Limits
from roost.api.long_calls import TheLongCalls
from roost.api.reading import AppName, MachineId, seconds
from roost.api.shapes import exec_to_json, started_to_json
from roost.model.errors import BadInput
from roost.model.machine import Machine
from roost.model.machine_config import read_signal

router = APIRouter(
    prefix="/v1/apps/{app}/machines/{machine_id}",
    route_class=GuardedRoute,
    dependencies=[documented],
    tags=["machines"],
)


def _done(machine: Machine) -> dict[str, Any]:
    return {"ok": True, "state": str(machine.state)}


def _about(machine_id: str, body: StopMachine | None) -> StopMachine:
    """Return the body, or an empty one; raises BadInput when it is about another machine than the path."""
    if body is not None and body.id not in ("", machine_id):
        raise BadInput("id is not the machine of the path", hint="leave it out")
    return body or StopMachine()


def _stop_timeout(given: object, limits: Limits) -> float | None:
    """Return the seconds asked for, None for what is configured. Clients in Go send the text "0s" for nothing."""
    if given in (None, "", "0s"):
        return None
    return seconds(given, "timeout", default=0.0, low=0.0, high=limits.stop_timeout)


@router.post("/start")
async def start_machine(
    app: AppName, machine_id: MachineId, control: TheControl, holder: TheHolder, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Start or resume the machine."""
    return started_to_json(*await long_calls.run(holder.may(lambda: control.machines.start(app, machine_id))))


@router.post("/stop")
async def stop_machine(
    app: AppName,
    machine_id: MachineId,
    control: TheControl,
    limits: TheLimits,
    holder: TheHolder,
    long_calls: TheLongCalls,
    body: StopMachine | None = None,
) -> dict[str, Any]:
    """Send the signal, and kill after the timeout; both as the machine is configured unless told."""
    body = _about(machine_id, body)
    if body.force_stop:
        raise BadInput("force_stop is not supported here", hint='send {"signal": "SIGKILL"}')
    signal = read_signal(body.signal, "signal")
    grace = _stop_timeout(body.timeout, limits)
    return _done(
        await long_calls.run(holder.may(lambda: control.machines.stop(app, machine_id, signal=signal, timeout=grace)))
    )


@router.post("/restart")
async def restart_machine(
    app: AppName,
    machine_id: MachineId,
    control: TheControl,
    limits: TheLimits,
    holder: TheHolder,
    long_calls: TheLongCalls,
    body: StopMachine | None = None,
    signal: str = "",
    timeout: str = "",
    force_stop: bool = False,
) -> dict[str, Any]:
    """Stop and start the machine. Signal, timeout and force_stop come in the query or in the body."""
    body = _about(machine_id, body)
    name = read_signal(int(signal) if signal.isdecimal() and len(signal) < 4 else signal, "signal")
    name = name or read_signal(body.signal, "signal")
    grace = _stop_timeout(timeout or body.timeout, limits)
    force = force_stop or body.force_stop
    machine = await long_calls.run(
        holder.may(lambda: control.machines.restart(app, machine_id, signal=name, timeout=grace, force=force))
    )
    return _done(machine)


@router.post("/suspend")
async def suspend_machine(
    app: AppName, machine_id: MachineId, control: TheControl, holder: TheHolder, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Freeze the machine: its memory stays, and it costs no processor time."""
    return _done(await long_calls.run(holder.may(lambda: control.machines.suspend(app, machine_id))))


@router.post("/signal")
async def signal_machine(
    app: AppName, machine_id: MachineId, body: SignalMachine, control: TheControl, long_calls: TheLongCalls
) -> dict[str, Any]:
    """Send a signal, by name or number, to the main process."""
    signal = read_signal(body.signal, "signal")
    if not signal:
        raise BadInput("signal is missing", hint='send {"signal": "SIGHUP"}')
    await long_calls.run(lambda: control.machines.signal(app, machine_id, signal))
    return {"ok": True}


@router.post("/exec")
async def exec_in_machine(
    app: AppName,
    machine_id: MachineId,
    body: ExecCommand,
    control: TheControl,
    limits: TheLimits,
    long_calls: TheLongCalls,
) -> dict[str, Any]:
    """Run a command in the machine; 408 after `timeout` seconds (60 unless told), and it is killed then."""
    argv = body.argv()
    deadline = seconds(body.timeout, "timeout", default=60.0, low=0.1, high=limits.exec_timeout)
    stdin = body.stdin.encode()
    result = await long_calls.run(
        lambda: control.machines.execute(app, machine_id, argv, stdin=stdin, timeout=deadline, container=body.container)
    )
    return exec_to_json(result)
