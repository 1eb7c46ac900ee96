"""Fakes of machines, their versions and leases."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.contract.api.fake_destroyed import page_of
from tests.contract.api.fake_world import (
    DIGEST,
    NOW,
    FakeConsole,
    World,
    new_ulid,
)

from roost.control.contract import (
    CheckStatus,
    ContainerStatus,
    Memory,
)
from roost.host.contract import ExecResult, Listening, ProcessInfo
from roost.model.app import Event
from roost.model.errors import BadInput, Conflict, FailedPrecondition, NotFound, TimedOut
from roost.model.listing import OrgListing
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import MachineConfig
from roost.model.machine_version import Lease, MachineVersion
from roost.model.names import machine_id
from roost.plan import leases
from roost.plan.metadata import edited


class Machines:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, app: str) -> list[Machine]:
        self.world.app(app)
        return [m for m in self.world.machines.values() if m.app == app]

    def destroyed(self, app: str) -> Sequence[Machine]:
        return self.world.destroyed.machines_of(app)

    def create(
        self,
        app: str,
        config: MachineConfig,
        *,
        name: str = "",
        region: str = "",
        skip_launch: bool = False,
        cordoned: bool = False,
    ) -> Machine:
        self.world.app(app)
        ident = machine_id(os.urandom(7))
        state = MachineState.CREATED if skip_launch else MachineState.STARTED
        self.world.machines[ident] = Machine(
            ident, app, name or f"quiet-{ident[:4]}", state, state, config, new_ulid(), region or "local", DIGEST, 0,
            "app", 1, "fdaa::2", "10.0.0.2", cordoned, 0, None, NOW, NOW,
        )  # fmt: skip
        return self.world.move(app, ident, state, "launch")

    def get(self, app: str, machine_id: str) -> Machine:
        return self.world.machine(app, machine_id)

    def start(self, app: str, machine_id: str) -> tuple[Machine, MachineState]:
        before = self.world.machine(app, machine_id).state
        return self.world.move(app, machine_id, MachineState.STARTED, "start"), before

    def stop(self, app: str, machine_id: str, *, signal: str = "", timeout: float | None = None) -> Machine:
        self.world.asked.append(("stop", signal, timeout))
        return self.world.move(app, machine_id, MachineState.STOPPED, "stop")

    def restart(
        self, app: str, machine_id: str, *, signal: str = "", timeout: float | None = None, force: bool = False
    ) -> Machine:
        self.world.asked.append(("restart", signal, timeout, force))
        return self.world.move(app, machine_id, MachineState.STARTED, "restart")

    def suspend(self, app: str, machine_id: str) -> Machine:
        return self.world.move(app, machine_id, MachineState.SUSPENDED, "suspend")

    def signal(self, app: str, machine_id: str, signal: str) -> None:
        self.world.machine(app, machine_id)
        self.world.asked.append(("signal", signal))

    def destroy(self, app: str, machine_id: str, *, force: bool) -> None:
        if self.world.machine(app, machine_id).state is MachineState.STARTED and not force:
            raise FailedPrecondition(
                "failed_precondition: unable to destroy machine, not currently stopped, suspended, failed or created"
            )
        self.world.destroyed.add(self.world.machines.pop(machine_id))

    def execute(
        self,
        app: str,
        machine_id: str,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        container: str = "",
    ) -> ExecResult:
        if container and container not in [one.name for one in self.world.machine(app, machine_id).config.containers]:
            raise NotFound(f"machine {machine_id} has no container {container!r}")
        self.world.asked.append(("exec", tuple(argv), stdin, timeout))
        if argv[0] == "sleep":
            raise TimedOut(f"the command did not end within {timeout:g} s")
        if argv[0] == "crash":
            raise RuntimeError("an internal detail that nobody may see")
        if argv[0] == "sh":  # a real command of this host, in place of one in a machine
            try:
                done = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout, check=False)
            except subprocess.TimeoutExpired:
                raise TimedOut(f"the command did not end within {timeout:g} s") from None
            return ExecResult(done.returncode, 0, done.stdout, done.stderr)
        return ExecResult(0, 0, b" ".join(word.encode() for word in argv) + b"\xff", stdin)

    def console(
        self, app: str, machine_id: str, argv: Sequence[str], *, rows: int, columns: int, container: str = ""
    ) -> FakeConsole:
        self.world.machine(app, machine_id)
        self.world.asked.append(("console", container))
        console = FakeConsole(argv or ("/bin/sh",), rows, columns)
        self.world.consoles.append(console)
        return console

    def events(self, app: str, machine_id: str, limit: int) -> Sequence[Event]:
        self.world.machine(app, machine_id)
        return self.world.events[machine_id][:limit]

    def histories(self, machine_ids: Sequence[str], limit: int) -> Mapping[str, Sequence[Event]]:
        return {key: self.world.events[key][:limit] for key in machine_ids}

    def current_checks(self, machine_ids: Sequence[str]) -> Mapping[str, Sequence[CheckStatus]]:
        return {key: [CheckStatus("http", "passing", "200 OK", NOW)] for key in machine_ids}

    def set_cordoned(self, app: str, machine_id: str, cordoned: bool) -> Machine:
        found = replace(self.world.machine(app, machine_id), cordoned=cordoned)
        self.world.machines[machine_id] = found
        return found

    def processes(self, app: str, machine_id: str) -> Sequence[ProcessInfo]:
        if self.world.machine(app, machine_id).state is not MachineState.STARTED:
            raise FailedPrecondition(f"machine {machine_id} does not run")
        listening = (Listening("tcp", "0.0.0.0:8080"),)
        return [
            ProcessInfo(1, "sh -c serve", "/app", 4096, 0.5, 0.1, 60.0, listening),
            ProcessInfo(7, "sleep 1", "/", 8192, 0.0, 0.0, 1.0),
        ]

    def memory(self, app: str, machine_id: str) -> Memory:
        config = self.world.machine(app, machine_id).config
        limit = self.world.limits.get(machine_id, config.guest.memory_mb)
        return Memory(limit, limit - 10)

    def set_memory(self, app: str, machine_id: str, limit_mb: int) -> Memory:
        if not 16 <= limit_mb <= self.world.machine(app, machine_id).config.guest.memory_mb:
            raise BadInput("limit_mb is out of bounds")
        self.world.limits[machine_id] = limit_mb
        return self.memory(app, machine_id)

    def reclaim_memory(self, app: str, machine_id: str, amount_mb: int) -> int:
        self.world.machine(app, machine_id)
        return min(amount_mb, 10)

    def of_org(self, asked: OrgListing) -> Sequence[Machine]:
        rows = [*self.world.machines.values(), *(self.world.destroyed.machines if asked.destroyed else [])]
        return page_of(self.world, rows, asked)

    async def wait(
        self,
        app: str,
        machine_id: str,
        *,
        states: frozenset[str],
        instance_id: str = "",
        after_event: str = "",
        timeout: float = 60.0,
    ) -> Machine:
        gone = [m for m in self.world.destroyed.machines_of(app) if m.id == machine_id and "destroyed" in states]
        if gone:
            return gone[0]
        found = self.world.machine(app, machine_id)
        self.world.asked.append(("wait", states, instance_id, timeout))
        for event in self.world.events[machine_id]:
            if after_event and event.id > after_event and event.status in states:
                return replace(found, state=MachineState(event.status))
        if str(found.state) not in states:
            raise TimedOut(f"machine failed to reach desired state, {sorted(states)[0]}, currently {found.state}")
        return found

    def checks(self, app: str, machine_id: str) -> Sequence[CheckStatus]:
        self.world.machine(app, machine_id)
        return [CheckStatus("http", "passing", "200 OK", NOW)]

    def containers(self, machine: Machine) -> Sequence[ContainerStatus]:
        return [ContainerStatus(one.name, "started", one.image, DIGEST) for one in machine.config.containers]


class Updates:
    def __init__(self, world: World) -> None:
        self.world = world

    def update(
        self,
        app: str,
        machine_id: str,
        config: MachineConfig,
        *,
        name: str = "",
        region: str = "",
        current_version: str = "",
        skip_launch: bool = False,
    ) -> Machine:
        found = self.world.machine(app, machine_id)
        if current_version not in ("", found.instance_id):
            raise Conflict(f"machine {machine_id} has version {found.instance_id}, not {current_version}")
        for word, asked, has in (("name", name, found.name), ("region", region, found.region)):
            if asked not in ("", has):
                raise BadInput(f"{word}: a machine's {word} can't be changed")
        before = MachineVersion(found.instance_id, DIGEST, found.config)
        self.world.versions.setdefault(machine_id, []).insert(0, before)
        self.world.machines[machine_id] = replace(found, config=config, instance_id=new_ulid())
        if skip_launch and found.state is MachineState.STARTED:
            self.world.move(app, machine_id, MachineState.STOPPED, "stop")
        return self.world.machine(app, machine_id)

    def versions(self, app: str, machine_id: str) -> Sequence[MachineVersion]:
        found = self.world.machine(app, machine_id)
        current = MachineVersion(found.instance_id, DIGEST, found.config)
        return [current, *self.world.versions.get(machine_id, [])]

    def edit_metadata(
        self,
        app: str,
        machine_id: str,
        changes: Mapping[str, str | None],
        *,
        version: str = "",
        unchanged_since: float | None = None,
    ) -> Machine:
        found = self.world.machine(app, machine_id)
        if version not in ("", found.instance_id) or (
            unchanged_since is not None and abs(found.updated_at - unchanged_since) > 0.001
        ):
            raise FailedPrecondition("failed_precondition: the machine was changed")
        config = replace(found.config, metadata=edited(found.config.metadata, changes))
        self.world.machines[machine_id] = replace(found, config=config, updated_at=time.time())
        return self.world.machines[machine_id]


class Leases:
    def __init__(self, world: World) -> None:
        self.world = world

    def get(self, app: str, machine_id: str) -> Lease:
        self.world.machine(app, machine_id)
        lease = self.find(machine_id)
        if lease is None:
            raise NotFound("lease not found")
        return lease

    def find(self, machine_id: str) -> Lease | None:
        return self.current().get(machine_id)

    def current(self) -> dict[str, Lease]:
        return {key: lease for key, lease in self.world.leases.items() if lease.expires_at > time.time()}

    def acquire(
        self, app: str, machine_id: str, *, ttl: float, owner: str, description: str = "", nonce: str = ""
    ) -> Lease:
        self.world.machine(app, machine_id)
        wanted = Lease(machine_id, os.urandom(8).hex(), owner, description, new_ulid(), time.time() + ttl)
        self.world.leases[machine_id] = leases.acquire(self.find(machine_id), wanted, nonce)
        return self.world.leases[machine_id]

    def release(self, app: str, machine_id: str, nonce: str) -> None:
        self.world.machine(app, machine_id)
        leases.release(self.find(machine_id), nonce)
        del self.world.leases[machine_id]

    def check(self, app: str, machine_id: str, nonce: str) -> None:
        self.world.machine(app, machine_id)
        leases.permit(self.find(machine_id), nonce)
