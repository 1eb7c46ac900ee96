"""What the fakes of control share: the things that there are, and what was asked for."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.contract.api.fake_destroyed import Destroyed

from roost.control.contract import (
    DeployRequest,
    SourceInfo,
)
from roost.model.app import App, Event, Release
from roost.model.errors import NotFound
from roost.model.machine import Machine, MachineState
from roost.model.machine_version import Lease, MachineVersion
from roost.model.names import ulid
from roost.model.operation import Operation, OperationState
from roost.model.volume import Snapshot, Volume

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
