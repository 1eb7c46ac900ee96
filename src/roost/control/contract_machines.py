"""The verbs on machines: what one can ask of one, who may, and the values that come back (see `contract`)."""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from roost.host.contract import Console, ExecResult, ProcessInfo
from roost.model.app import Event
from roost.model.listing import OrgListing
from roost.model.machine import ExitInfo, Machine, MachineState
from roost.model.machine_config import MachineConfig
from roost.model.machine_version import Lease, MachineVersion
from roost.model.run import Run


@dataclass(frozen=True, slots=True)
class CheckStatus:
    """The latest result of one health check of a machine."""

    name: str
    status: str  # passing | warning | critical
    output: str
    updated_at: float


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """One of several containers of a machine."""

    name: str
    state: str  # created | started | restarting | stopped | failed | blocked
    image: str
    image_digest: str
    restarts: int = 0
    started_at: float = 0.0  # Unix time of its latest start; 0: never
    last_exit: ExitInfo | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """A machine's memory in MiB."""

    limit_mb: int
    available_mb: int


class Machines(Protocol):
    """Machines of an app."""

    def list(self, app: str) -> list[Machine]:
        """Return the machines that are not destroyed, oldest first."""

    def destroyed(self, app: str) -> Sequence[Machine]:
        """Return the machines that were destroyed lately, as they were, the longest gone first."""

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
        """Make a machine and, unless `skip_launch`, start it; returns when its process was executed.

        A `cordoned` one gets no requests until it is uncordoned.
        """

    def get(self, app: str, machine_id: str) -> Machine:
        """Return a machine; raises NotFound, also when it belongs to another app."""

    def start(self, app: str, machine_id: str) -> tuple[Machine, MachineState]:
        """Start or resume it; returns it and the state it was in."""

    def stop(self, app: str, machine_id: str, *, signal: str = "", timeout: float | None = None) -> Machine:
        """Stop it: `signal` ("": the configured one), then kill after `timeout` seconds (None: as configured)."""

    def restart(
        self, app: str, machine_id: str, *, signal: str = "", timeout: float | None = None, force: bool = False
    ) -> Machine:
        """Stop and start it; `force` kills at once."""

    def suspend(self, app: str, machine_id: str) -> Machine:
        """Freeze it: memory stays, processor time is zero."""

    def signal(self, app: str, machine_id: str, signal: str) -> None:
        """Send a signal (a name like SIGHUP) to its main process, or that of each of its containers."""

    def destroy(self, app: str, machine_id: str, *, force: bool) -> None:
        """Remove it; without `force` raises FailedPrecondition while it runs."""

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
        """Run a command in a started machine; raises TimedOut after `timeout` seconds.

        Of a machine with containers, in the one named, or ("") the first that runs. Raises NotFound for no such one.
        """

    def console(
        self, app: str, machine_id: str, argv: Sequence[str], *, rows: int, columns: int, container: str = ""
    ) -> Console:
        """Run a command with a terminal; an empty `argv` means the best shell the image has."""

    def containers(self, machine: Machine) -> Sequence[ContainerStatus]:
        """Return how each of its containers is; nothing for a machine that is a single program."""

    def events(self, app: str, machine_id: str, limit: int) -> Sequence[Event]:
        """Return the latest events, newest first."""

    def histories(self, machine_ids: Sequence[str], limit: int) -> Mapping[str, Sequence[Event]]:
        """Return the latest events of many machines at once, each one's newest first; a machine may be missing."""

    def current_checks(self, machine_ids: Sequence[str]) -> Mapping[str, Sequence[CheckStatus]]:
        """Return the latest results of the health checks of many machines at once."""

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
        """Return once it is in one of `states` (values of MachineState); raises TimedOut after `timeout` seconds.

        With `instance_id`, a machine whose configuration has another one raises FailedPrecondition. With
        `after_event`, it is enough that it was in one of the states after that event; the machine that is
        returned has that state.
        """

    def set_cordoned(self, app: str, machine_id: str, cordoned: bool) -> Machine:
        """Keep requests from it, or no longer, without stopping it; returns when the edge does so."""

    def processes(self, app: str, machine_id: str) -> Sequence[ProcessInfo]:
        """Return what runs in it; raises FailedPrecondition when it doesn't run."""

    def memory(self, app: str, machine_id: str) -> Memory:
        """Return how much memory it may use now, and how much of it is left."""

    def set_memory(self, app: str, machine_id: str, limit_mb: int) -> Memory:
        """Let it use so much memory until its next start, at most as much as it is configured for."""

    def reclaim_memory(self, app: str, machine_id: str, amount_mb: int) -> int:
        """Take memory from it that it can do without (caches), at most so much; returns how much that was, in MiB.

        Raises FailedPrecondition when it does not run.
        """

    def of_org(self, asked: OrgListing) -> Sequence[Machine]:
        """Return an org's machines that are asked for, in the order of their last change."""

    def checks(self, app: str, machine_id: str) -> Sequence[CheckStatus]:
        """Return the latest result of each of its health checks."""


class Tunnels(Protocol):
    """TCP connections to machines."""

    def open(
        self, app: str, machine_id: str, port: int
    ) -> AbstractAsyncContextManager[tuple[StreamReader, StreamWriter]]:
        """Connect to a port of a machine, which is woken if it sleeps; raises FailedPrecondition if nobody listens."""


class Updates(Protocol):
    """Changing what a machine is."""

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
        """Give it a new configuration and version; it runs afterwards if it ran or had failed, unless `skip_launch`.

        Raises Conflict when its version is not `current_version`, BadInput for another name or region, and what
        starting raises: the machine has its old configuration then, and runs if it ran.
        """

    def versions(self, app: str, machine_id: str) -> Sequence[MachineVersion]:
        """Return its versions, newest first."""

    def edit_metadata(
        self,
        app: str,
        machine_id: str,
        changes: Mapping[str, str | None],
        *,
        version: str = "",
        unchanged_since: float | None = None,
    ) -> Machine:
        """Set and (None or "") remove metadata: no new version, no restart.

        Raises FailedPrecondition when its version is not `version`, or it was changed after `unchanged_since`.
        """


class Schedules(Protocol):
    """What machines with a schedule did."""

    def runs(self, app: str, machine_id: str, *, before: str = "", limit: int = 100) -> Sequence[Run]:
        """Return a machine's runs, newest first, before the one with an id. Raises NotFound."""


class Leases(Protocol):
    """The right to change a machine, for a time."""

    def get(self, app: str, machine_id: str) -> Lease:
        """Return the lease; raises NotFound. Its nonce is for its holder only."""

    def find(self, machine_id: str) -> Lease | None:
        """Return the lease, or None."""

    def current(self) -> Mapping[str, Lease]:
        """Return all leases by machine."""

    def acquire(
        self, app: str, machine_id: str, *, ttl: float, owner: str, description: str = "", nonce: str = ""
    ) -> Lease:
        """Take it for `ttl` seconds, or with its `nonce` hold it for so much longer; raises Conflict."""

    def release(self, app: str, machine_id: str, nonce: str) -> None:
        """Give it back; raises NotFound without a lease, Conflict for another's."""

    def check(self, app: str, machine_id: str, nonce: str) -> None:
        """Raise Conflict when somebody else holds the machine."""
