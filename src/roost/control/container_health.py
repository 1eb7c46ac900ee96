"""Health of containers: the checks that decide whether others may start, and whether one must be ended.

State owned, in memory only: a task and the latest result of each check of each running container. Runs on the
event loop. After a restart of roostd the checks begin anew: what was started on a container's health runs on.
A suspended machine is not checked: its clocks stand still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from roost.control.contract import CheckStatus
from roost.control.core import Core, log
from roost.model.containers import Container, Healthcheck, parts_of
from roost.model.errors import RoostError
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import Check
from roost.plan.container_health import Health


@dataclass
class _Watched:
    pid: int
    checks: dict[str, Health] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class ContainerHealth:
    """Checks the containers that run. `healthy` and `checks` may be called from any thread."""

    def __init__(
        self, core: Core, on_change: Callable[[Machine], None], on_unhealthy: Callable[[str, str], None]
    ) -> None:
        """`on_change` is told the machine, `on_unhealthy` its id and the container that must be ended; on the loop."""
        self._core = core
        self._on_change = on_change
        self._on_unhealthy = on_unhealthy
        self._watched: dict[str, dict[str, _Watched]] = {}  # machine -> container

    def follow(self, machine: Machine, running: Mapping[str, int]) -> None:
        """Check these containers (name -> pid) and no others of the machine; on the loop."""
        of_machine = self._watched.setdefault(machine.id, {})
        for name in [name for name, watched in of_machine.items() if running.get(name) != watched.pid]:
            for task in of_machine.pop(name).tasks:
                task.cancel()
        for one in parts_of(machine.config):
            if one.name in running and one.healthchecks and one.name not in of_machine:
                watched = of_machine[one.name] = _Watched(running[one.name])
                for check in one.healthchecks:
                    watched.checks[check.name] = Health(self._core.now())
                    watched.tasks.append(
                        asyncio.get_running_loop().create_task(self._keep_checking(machine, one, check, watched))
                    )
        if not of_machine:
            del self._watched[machine.id]

    def healthy(self, machine_id: str) -> set[str]:
        """Return the containers all of whose checks pass."""
        return {
            name
            for name, watched in list(self._watched.get(machine_id, {}).items())
            if all(health.status == "passing" for health in list(watched.checks.values()))
        }

    def checks(self, machine_id: str) -> list[CheckStatus]:
        """Return the latest result of each check, named CONTAINER/CHECK."""
        return [
            CheckStatus(f"{name}/{check}", health.status, health.output, health.checked_at or health.started_at)
            for name, watched in list(self._watched.get(machine_id, {}).items())
            for check, health in list(watched.checks.items())
        ]

    async def _keep_checking(self, machine: Machine, one: Container, check: Healthcheck, watched: _Watched) -> None:
        while True:
            if self._may_be_checked(machine.id):
                passing, output = await asyncio.to_thread(self._ask, machine, one.name, check)
                if self._may_be_checked(machine.id):  # one that was suspended meanwhile could not answer
                    self._take(machine, one, check, watched, passing, output)
            await asyncio.sleep(watched.checks[check.name].pause(check, self._core.now()))

    def _may_be_checked(self, machine_id: str) -> bool:
        row = self._core.store.machines.find(machine_id)
        return row is not None and row.state in (MachineState.STARTING, MachineState.STARTED)

    def _take(
        self, machine: Machine, one: Container, check: Healthcheck, watched: _Watched, passing: bool, output: str
    ) -> None:
        before = watched.checks[check.name]
        after = watched.checks[check.name] = before.observe(check, passing, output, self._core.now())
        if after.status == before.status:
            return
        self._core.changes.notify(f"machine:{machine.id}")
        if after.status == "critical" and check.kind == "liveness" and check.unhealthy == "stop":
            log.info("a container is unhealthy", machine=machine.id, container=one.name, check=check.name)
            self._on_unhealthy(machine.id, one.name)
        else:
            self._on_change(machine)

    def _ask(self, machine: Machine, name: str, check: Healthcheck) -> tuple[bool, str]:
        """Run one check; what the container does never raises."""
        host = self._core.host
        try:
            if check.type == "exec":
                done = host.execute(machine.id, check.command, container=name, timeout=check.timeout)
                said = (done.stdout + done.stderr)[-200:].decode(errors="replace").strip()
                return done.exit_code == 0, f"exit code {done.exit_code}" + (f": {said}" if said else "")
            spec = Check(
                check.port,
                type=check.type,
                timeout=check.timeout,
                method=check.method,
                path=check.path,
                headers=check.headers,
            )
            result = host.ask_inside(machine.id, spec)
            return result.passing, result.output
        except RoostError as error:
            return False, error.message
