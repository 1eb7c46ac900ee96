"""A control plane in memory, behind the same Protocols as the real one: for the API's shapes only.

It keeps just enough state that what is made can be listed, and fails the way the contract says.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import io
import os
import pty
import subprocess
import tarfile
import termios
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.contract.api import (
    fake_autoscale,
    fake_certificates,
    fake_inside,
    fake_metrics,
    fake_networks,
    fake_orgs,
    fake_requests,
    fake_scaling,
    fake_schedules,
    fake_secret_keys,
    fake_tunnels,
)
from tests.contract.api.fake_destroyed import Destroyed, page_of

from roost.api.idempotency import MemoryReplays
from roost.control.contract import (
    AppState,
    AppStatus,
    CheckStatus,
    CloudStatus,
    ContainerStatus,
    DeployRequest,
    LogEntry,
    Memory,
    Principal,
    SecretInfo,
    SourceInfo,
)
from roost.edge.contract import EdgeStatus
from roost.host.contract import ExecResult, Listening, ProcessInfo
from roost.model.app import App, Event, Release, ReleaseState
from roost.model.app_config import AppConfig
from roost.model.app_config_read import propose_app_config
from roost.model.build_plan import BuildPlan
from roost.model.errors import BadInput, Conflict, FailedPrecondition, NameTaken, NotFound, TimedOut
from roost.model.image import Image, ImageConfig
from roost.model.listing import OrgListing
from roost.model.machine import Machine, MachineState
from roost.model.machine_config import MachineConfig
from roost.model.machine_version import Lease, MachineVersion
from roost.model.names import machine_id, ulid
from roost.model.operation import Operation, OperationState, Progress
from roost.model.volume import Snapshot, SnapshotState, Usage, Volume, VolumeState, snapshot_id, volume_id
from roost.plan import leases
from roost.plan.metadata import edited

ADMIN_TOKEN = "admin-token-of-the-test"
READER_TOKEN = "reader-token-of-the-test"
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
READER = {"Authorization": f"Bearer {READER_TOKEN}"}
DIGEST = "sha256:" + "ab" * 32
NOW = 1_700_000_000.5


def new_ulid() -> str:
    return ulid(int(time.time() * 1000), os.urandom(10))


@dataclass
class World:
    apps: dict[str, App] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    events: dict[str, list[Event]] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    snapshots: dict[str, list[Snapshot]] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    releases: dict[str, list[Release]] = field(default_factory=dict)
    sources: dict[str, SourceInfo] = field(default_factory=dict)
    deploys: list[DeployRequest] = field(default_factory=list)
    versions: dict[str, list[MachineVersion]] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    destroyed: Destroyed = field(default_factory=Destroyed)
    asked: list[tuple[object, ...]] = field(default_factory=list)  # what reached control, in order
    open_streams: int = 0
    consoles: list[FakeConsole] = field(default_factory=list)

    def app(self, name: str) -> App:
        if name not in self.apps:
            raise NotFound("app not found", hint="`roost apps` lists them")
        return self.apps[name]

    def machine(self, app: str, ident: str) -> Machine:
        self.app(app)
        found = self.machines.get(ident)
        if found is None or found.app != app:
            raise NotFound("machine not found")
        return found

    def move(self, app: str, ident: str, state: MachineState, kind: str) -> Machine:
        found = replace(self.machine(app, ident), state=state, desired=state, updated_at=time.time())
        self.machines[ident] = found
        self.events.setdefault(ident, []).insert(0, Event(new_ulid(), ident, kind, str(state), "user", {}, time.time()))
        return found

    def operation(self, kind: str, app: str, state: OperationState = OperationState.SUCCEEDED) -> Operation:
        made = Operation(
            new_ulid(), kind, app, state, "release", ("build", "release"), {}, {"version": 1}, "", "", NOW, NOW
        )
        self.operations[made.id] = made
        return made


class Apps:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, org: str | None = None) -> list[App]:
        return [app for app in self.world.apps.values() if org in (None, app.org)]

    def create(self, name: str, org: str = "personal", network: str = "", role: str = "") -> App:
        if name in self.world.apps:
            raise NameTaken(f"Name has already been taken: {name}", hint="choose another")
        app = App(new_ulid(), name, org, network or org, len(self.world.apps) + 1, 0, NOW, role)
        self.world.apps[name] = app
        return app

    def get(self, name: str) -> App:
        return self.world.app(name)

    def destroy(self, name: str, *, force: bool) -> None:
        self.world.app(name)
        if not force and any(m.app == name and m.state is MachineState.STARTED for m in self.world.machines.values()):
            raise FailedPrecondition(f"{name} has machines that run", hint="add force=true")
        del self.world.apps[name]

    def status(self, name: str) -> AppStatus:
        machines = [m for m in self.world.machines.values() if m.app == name]
        releases = self.world.releases.get(name, [])
        return AppStatus(
            self.world.app(name), f"http://{name}.roost.test:8080", AppState.EMPTY, "nothing was deployed yet",
            releases[0] if releases else None, machines, 0.0, [f"http://{name}.roost.test:8080"],
        )  # fmt: skip

    def machine_count(self, name: str) -> int:
        return len([m for m in self.world.machines.values() if m.app == name])

    def counts(self) -> dict[str, tuple[int, int]]:
        volumes = [volume.app for volume in self.world.volumes.values()]
        return {name: (self.machine_count(name), volumes.count(name)) for name in self.world.apps}


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


class Volumes:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, app: str) -> list[Volume]:
        self.world.app(app)
        return [v for v in self.world.volumes.values() if v.app == app]

    def count(self, app: str) -> int:
        return len(self.list(app))

    def of_org(self, asked: OrgListing) -> Sequence[Volume]:
        rows = [*self.world.volumes.values(), *(self.world.destroyed.volumes if asked.destroyed else [])]
        return page_of(self.world, rows, asked)

    def create(
        self,
        app: str,
        name: str,
        *,
        size_gb: int = 0,
        region: str = "",
        snapshot_id: str = "",
        source_volume_id: str = "",
        snapshot_retention: int = 5,
        auto_backup_enabled: bool = True,
    ) -> Volume:
        self.world.app(app)
        self.world.asked.append(("volume", name, size_gb, snapshot_id, source_volume_id))
        made = Volume(
            volume_id(os.urandom(10)), app, name, VolumeState.CREATED, size_gb or 1, region or "local",
            snapshot_retention, auto_backup_enabled, "", NOW, NOW + len(self.world.volumes),
        )  # fmt: skip
        self.world.volumes[made.id] = made
        return made

    def get(self, app: str, volume_id: str) -> Volume:
        self.world.app(app)
        found = self.world.volumes.get(volume_id)
        if found is None or found.app != app:
            raise NotFound("volume not found")
        return found

    def usage(self, volume: Volume) -> Usage:
        return Usage(4096, volume.size_gb << 18, volume.size_gb << 17, volume.size_gb << 17)

    def update(
        self,
        app: str,
        volume_id: str,
        *,
        snapshot_retention: int | None = None,
        auto_backup_enabled: bool | None = None,
    ) -> Volume:
        found = self.get(app, volume_id)
        if snapshot_retention is not None:
            found = replace(found, snapshot_retention=snapshot_retention)
        if auto_backup_enabled is not None:
            found = replace(found, auto_backup_enabled=auto_backup_enabled)
        self.world.volumes[volume_id] = found
        return found

    def extend(self, app: str, volume_id: str, size_gb: int) -> tuple[Volume, bool]:
        found = self.get(app, volume_id)
        if size_gb < found.size_gb:
            raise BadInput("it can't become smaller")
        self.world.volumes[volume_id] = replace(found, size_gb=size_gb)
        return self.world.volumes[volume_id], False

    def destroy(self, app: str, volume_id: str) -> Volume:
        found = self.get(app, volume_id)
        if found.attached_machine_id:
            raise FailedPrecondition("failed_precondition: it is attached")
        self.world.destroyed.add_volume(self.world.volumes.pop(volume_id))
        return replace(found, state=VolumeState.DESTROYING)

    def snapshots(self, app: str, volume_id: str) -> Sequence[Snapshot]:
        self.get(app, volume_id)
        return self.world.snapshots.get(volume_id, [])

    def snapshot(self, app: str, volume_id: str) -> Snapshot:
        found = self.get(app, volume_id)
        made = Snapshot(
            snapshot_id(os.urandom(10)), volume_id, app, SnapshotState.CREATED, 4096, found.size_gb << 30,
            found.snapshot_retention, NOW,
        )  # fmt: skip
        self.world.snapshots.setdefault(volume_id, []).insert(0, made)
        return made


class FakeConsole:
    """A real terminal with a real process of this host, in place of one in a machine."""

    def __init__(self, argv: Sequence[str], rows: int, columns: int) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(self.master, (rows, columns))
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            close_fds=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C reaches what runs there
        )
        os.close(slave)
        self.closed = False

    def fileno(self) -> int:
        return self.master

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self.master, (rows, columns))

    def close(self) -> int:
        try:
            self.process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            self.process.kill()
        code = self.process.wait(timeout=5)
        if not self.closed:
            os.close(self.master)
        self.closed = True
        return code


class Secrets:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, app: str) -> list[SecretInfo]:
        self.world.app(app)
        return [
            SecretInfo(name, hashlib.sha256(value.encode()).hexdigest()[:16], NOW, NOW)
            for name, value in sorted(self.world.secrets.get(app, {}).items())
        ]

    def get(self, app: str, name: str) -> SecretInfo:
        for secret in self.list(app):
            if secret.name == name:
                return secret
        raise NotFound("no such secret")

    def remove(self, app: str, name: str) -> int:
        self.get(app, name)
        return self.set(app, {name: None})

    def set(self, app: str, values: Mapping[str, str | None]) -> int:
        found = self.world.app(app)
        kept = self.world.secrets.setdefault(app, {})
        for name, value in values.items():
            if value is None:
                kept.pop(name, None)
            else:
                kept[name] = value
        self.world.apps[app] = replace(found, secrets_version=found.secrets_version + 1)
        return found.secrets_version + 1


class Logs:
    def __init__(self, world: World) -> None:
        self.world = world

    async def follow(
        self, app: str, *, machine: str = "", since: float = 0.0, limit: int = 100, follow: bool = False
    ) -> AsyncIterator[LogEntry]:
        self.world.asked.append(("logs", machine, since, limit, follow))
        self.world.open_streams += 1
        try:
            for number in range(3):
                yield LogEntry(NOW + number, machine or "00000000000001", "stdout", f"line {number}", "app")
            if app == "breaks":
                raise RuntimeError("an internal detail that nobody may see")
            if follow:
                await asyncio.sleep(600)
        finally:
            self.world.open_streams -= 1


class Sources:
    def __init__(self, world: World) -> None:
        self.world = world

    async def receive(self, stream: AsyncIterator[bytes]) -> SourceInfo:
        data = b"".join([piece async for piece in stream])
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
                files = len(tar.getnames())
        except (tarfile.TarError, OSError):
            raise BadInput("the source is not a gzipped tar") from None
        made = SourceInfo(new_ulid(), len(data), files)
        self.world.sources[made.id] = made
        return made

    def plan(self, source_id: str, config: AppConfig | None, name: str) -> tuple[BuildPlan, AppConfig, str]:
        if source_id not in self.world.sources:
            raise NotFound("source not found")
        plan = BuildPlan("python", "flask", ("requirements.txt names flask",))
        return plan, config or propose_app_config(plan, name=name), f'app = "{name}"\n'


class Deploys:
    def __init__(self, world: World) -> None:
        self.world = world

    def start(self, app: str, request: DeployRequest) -> Operation:
        self.world.app(app)
        self.world.deploys.append(request)
        config = request.config or AppConfig()
        release = Release(app, 1, DIGEST, request.image, config, {"app": "serve"}, ReleaseState.COMPLETE, "", NOW)
        self.world.releases.setdefault(app, []).insert(0, release)
        return self.world.operation("deploy", app)

    def rollback(self, app: str, version: int) -> Operation:
        self.world.app(app)
        self.world.asked.append(("rollback", version))
        return self.world.operation("rollback", app)


class Releases:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, app: str) -> list[Release]:
        self.world.app(app)
        return self.world.releases.get(app, [])


class Operations:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, app: str | None = None) -> list[Operation]:
        return [found for found in self.world.operations.values() if app in (None, found.app)]

    def get(self, operation_id: str) -> Operation:
        if operation_id not in self.world.operations:
            raise NotFound("operation not found")
        return self.world.operations[operation_id]

    def cancel(self, operation_id: str) -> Operation:
        return self.get(operation_id)

    async def follow(self, operation_id: str, after: int = 0) -> AsyncIterator[Progress]:
        story = [
            Progress(1, "step", "build", "", NOW),
            Progress(2, "log", "build", "two\nlines", NOW),
            Progress(3, "done", "", "succeeded", NOW),
        ]
        self.world.open_streams += 1
        try:
            for progress in story:
                if progress.number <= after:
                    continue
                if progress.kind == "done" and self.get(operation_id).state is OperationState.RUNNING:
                    await asyncio.sleep(600)
                yield progress
        finally:
            self.world.open_streams -= 1


class Images:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self) -> list[Image]:
        return [Image(DIGEST, "roost/base:bookworm", ("layer-1",), ImageConfig(cmd=("bash",)), 1000, NOW)]

    def labels(self, digests: Iterable[str]) -> dict[str, dict[str, str]]:
        return {digest: {"fly.version": "1.2"} for digest in digests}

    def pull(self, reference: str) -> Operation:
        return self.world.operation("image.pull", "")

    def refresh(self, reference: str) -> Operation:
        return self.world.operation("image.refresh", "")

    def collect(self) -> int:
        return 4096


class FakeControl:
    def __init__(self) -> None:
        self.world = World()
        self.apps = Apps(self.world)
        self.machines = Machines(self.world)
        self.scaling = fake_scaling.Scaling(self.world)
        self.autoscaling = fake_autoscale.Autoscaling(self.world)
        self.tunnels = fake_tunnels.Tunnels(self.world)
        self.updates = Updates(self.world)
        self.schedules = fake_schedules.Schedules(self.world)
        self.leases = Leases(self.world)
        self.replays = MemoryReplays()
        self.oidc = fake_inside.Oidc()
        self.admin = fake_inside.Admin()
        self.region = "local"
        self.domain, self.network_cidr = "roost.test", "fdaa:11:aabb::/48"
        self.volumes = Volumes(self.world)
        self.network_policies = fake_networks.NetworkPolicies(self.world)
        self.ip_assignments = fake_networks.IpAssignments(self.world)
        self.secrets = Secrets(self.world)
        self.secret_keys = fake_secret_keys.SecretKeys(self.world)
        self.certificates = fake_certificates.Certificates(self.world)
        self.logs = Logs(self.world)
        self.metrics = fake_metrics.Metrics(self.world)
        self.requests = fake_requests.Requests(self.world)
        self.sources = Sources(self.world)
        self.deploys = Deploys(self.world)
        self.releases = Releases(self.world)
        self.operations = Operations(self.world)
        self.images = Images(self.world)
        self.audit = fake_orgs.Audit()
        self.orgs = fake_orgs.Orgs()
        self.tokens = fake_orgs.Tokens(
            {
                ADMIN_TOKEN: Principal("admin", "admin", "tok_admin"),
                READER_TOKEN: Principal("reader", "reader", "tok_reader"),
            }
        )

    def status(self) -> CloudStatus:
        edge = EdgeStatus(pid=12, connected=True, routes=1)
        return CloudStatus(
            id="0011aabb",
            version="0.1.0",
            domain="roost.test",
            http_port=8080,
            https_port=8443,
            api_port=4280,
            pid=11,
            started_at=NOW,
            edge=edge,
            pool_used=10,
            pool_total=100,
            apps=len(self.world.apps),
            machines_by_state={"started": 1},
        )  # fmt: skip
