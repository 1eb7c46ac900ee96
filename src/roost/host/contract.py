"""The agent contract: all that control may ask of a host. Values in, values out; no shared objects.

Every call is idempotent: asked twice, or asked again after `roostd` was killed in the middle, it ends
in the same state. Calls block; callers on an event loop run them in threads. Calls for different
machines may run at once; calls for one machine are serialised by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Protocol

from roost.host.contract_spec import (
    BindMount,
    ContainerSpec,
    FileInside,
    MachineSpec,
    Resolving,
    SharedDirectory,
    VolumeMount,
)
from roost.host.health import HealthResult
from roost.model.machine import ExitInfo
from roost.model.machine_config import Check
from roost.model.network_policy import Filter
from roost.model.volume import Usage as VolumeUsage

# with what a machine is to be: named here as all the rest
__all__ = [
    "BindMount",
    "Console",
    "ContainerSpec",
    "Doors",
    "ExecResult",
    "FileInside",
    "Host",
    "Listening",
    "LogLine",
    "MachineSpec",
    "Observed",
    "ObservedContainer",
    "PrivateAddress",
    "ProcessInfo",
    "Resolving",
    "RuntimeState",
    "SharedDirectory",
    "Usage",
    "VolumeMount",
    "Volumes",
]


@dataclass(frozen=True, slots=True)
class PrivateAddress:
    """An app's addresses in its private network. `ipv4` is "" where it has none."""

    network: str
    ipv4: str
    ipv6: str
    ports: tuple[int, ...]


class RuntimeState(StrEnum):
    """What the host sees of a machine."""

    ABSENT = "absent"  # nothing of it is on this host
    PREPARED = "prepared"  # it has a disk, and no process
    RUNNING = "running"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """A container that was started, as the host sees it now."""

    name: str
    pid: int  # 0 when it does not run
    started_at: float
    restarts: int  # as told at its latest start
    last_exit: ExitInfo | None = None
    unhealthy: bool = False  # it was ended for that


@dataclass(frozen=True, slots=True)
class Observed:
    """A machine as the host sees it now."""

    machine_id: str
    state: RuntimeState
    pid: int = 0  # of the main process in the host's pid namespace; 0 when it does not run
    started_at: float = 0.0
    last_exit: ExitInfo | None = None  # of the latest run, kept until the next start
    containers: tuple[ObservedContainer, ...] = ()  # of a machine that has several, which has no pid itself


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command run inside a machine gave. Output beyond the limit is cut."""

    exit_code: int
    exit_signal: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a machine's output. `offset` continues a reading; it grows along one machine's log."""

    machine_id: str
    at: float
    stream: str  # stdout | stderr
    text: str
    offset: int
    container: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a machine uses now."""

    memory_bytes: int
    cpu_seconds: float
    pids: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that waits for others: `protocol` is tcp, tcp6, udp or udp6, `address` is host:port."""

    protocol: str
    address: str


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One process of a machine, with the pid that it has inside. Times are seconds."""

    pid: int
    command: str
    directory: str
    rss_bytes: int
    cpu_seconds: float  # used, in all
    system_seconds: float  # of these, in the kernel
    running_seconds: float  # since its start
    listening: tuple[Listening, ...] = ()


class Doors(Protocol):
    """Sockets through which machines talk to their own API. Called from any thread; none of it raises."""

    def open(self, machine_id: str, directory: Path) -> None:
        """Listen at `directory/api` for one machine, anew if it was so before; the machine sees the directory."""

    def close(self, machine_id: str) -> None:
        """Listen no longer."""


class Console(Protocol):
    """A process with a terminal inside a machine."""

    def fileno(self) -> int:
        """Return the master side of the terminal: read and write bytes there."""

    def resize(self, rows: int, columns: int) -> None:
        """Tell the process the terminal's size."""

    def close(self) -> int:
        """End the process if it still runs and return its exit code."""


class Volumes(Protocol):
    """Volumes and snapshots of a host, by id. They live until they are destroyed, whatever becomes of machines."""

    def create(self, volume_id: str, size_gb: int, *, snapshot_id: str = "", source_id: str = "") -> None:
        """Make a volume: empty, or a copy of a snapshot or of another volume, which may be in use.

        One that is there keeps what it holds, and is only extended. A copy shares its blocks with the original, and
        is what that held at one moment, as after a power cut.
        """

    def extend(self, volume_id: str, size_gb: int) -> bool:
        """Make a volume at least this large, in use or not. It never becomes smaller.

        Returns False when the machine that uses it sees that only after it was stopped and started: the kernel lets
        only a process with CAP_SYS_RESOURCE do it at once.
        """

    def destroy(self, volume_id: str) -> None:
        """Delete a volume for good; raises FailedPrecondition while a machine uses it. Its snapshots stay."""

    def snapshot(self, volume_id: str, snapshot_id: str) -> tuple[int, int]:
        """Keep what a volume, in use or not, holds at one moment; returns the bytes in use and the volume's size."""

    def destroy_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot; volumes that were made from it stay."""

    def usage(self, volume_id: str) -> VolumeUsage:
        """Return how full a volume is; raises NotFound."""


class Host(Protocol):
    """The host agent. Raises HostFailure when the host does not do as asked."""

    @property
    def volumes(self) -> Volumes:
        """Volumes and their snapshots."""

    def start(self, spec: MachineSpec) -> Observed:
        """Make the machine's disk, root, network and cgroup as far as missing, and run its main process.

        A machine that was stopped gets a fresh root. Returns when the main process was executed;
        raises BadInput when the image has no such command or user. Of a machine with containers only what
        they share is made: `start_container` runs each.
        """

    def start_container(self, spec: MachineSpec, name: str, *, restarts: int = 0) -> None:
        """Run one of the machine's containers, with a fresh root, unless it runs.

        `restarts` is kept, for `observe` to tell. Raises BadInput when the image has no such command or user,
        FailedPrecondition when the machine was not started or is suspended.
        """

    def stop_container(self, machine_id: str, name: str) -> None:
        """Ask an unhealthy container to end as its spec says, then kill it; not there is no error.

        It is observed as such, so that its restart policy decides on, whatever its exit code.
        """

    def stop(self, machine_id: str, *, signal: str, timeout: float | None, keep_root: bool = False) -> Observed:
        """Send `signal`, wait `timeout` seconds, then kill; release all but the log. Thaws a frozen machine.

        With `keep_root` its writable root stays, for a start whose spec says so too.

        For a machine with containers, "" and None mean what each container's spec says; they are asked at once.
        """

    def signal(self, machine_id: str, signal: str, *, container: str = "") -> None:
        """Send a signal to the main process; of a machine with containers, to that of one or ("") of each."""

    def freeze(self, machine_id: str) -> None:
        """Stop all its processes' clocks; their memory stays. Returns when they are frozen."""

    def thaw(self, machine_id: str) -> None:
        """Let a frozen machine run on. Returns when it runs."""

    def destroy(self, machine_id: str) -> None:
        """Kill what runs and remove all that the machine had, except its log."""

    def forget_log(self, machine_id: str) -> None:
        """Remove the log of a machine that is gone."""

    def execute(
        self,
        machine_id: str,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        env: dict[str, str] | None = None,
        user: str = "",
        container: str = "",
    ) -> ExecResult:
        """Run a command inside; raises TimedOut after `timeout` seconds (the command is killed then).

        A machine with containers has no inside of its own: `container` says which; raises NotFound.
        """

    def console(
        self, machine_id: str, argv: tuple[str, ...], *, rows: int, columns: int, container: str = ""
    ) -> Console:
        """Run a command with a terminal inside a running machine, or one of its containers."""

    def ask_inside(self, machine_id: str, check: Check) -> HealthResult:
        """Run a check from inside the machine, where 127.0.0.1 is its own. Never raises for what the machine does."""

    def observe(self, machine_id: str) -> Observed:
        """Look at one machine. Reads a few files; cheap enough to be called often."""

    def observe_all(self) -> dict[str, Observed]:
        """Look at all the machines of this cloud on this host, known to control or not."""

    def usage(self, machine_id: str) -> Usage:
        """Return what a running machine uses now."""

    def processes(self, machine_id: str) -> list[ProcessInfo]:
        """Return the processes of a running machine, by pid; raises FailedPrecondition when it doesn't run."""

    def memory_limit(self, machine_id: str) -> int:
        """Return how many bytes a running machine may use now; raises FailedPrecondition when it doesn't run."""

    def set_memory_limit(self, machine_id: str, limit: int) -> None:
        """Let a running machine use so many bytes until its next start; raises FailedPrecondition if it uses more."""

    def reclaim_memory(self, machine_id: str, amount: int) -> int:
        """Take about so many bytes from a running machine that it can do without; returns how many those were."""

    def limit(self, machine_id: str, ipv4: IPv4Address, ipv6: IPv6Address, allowed: Filter) -> None:
        """Let a machine that is here take and make these connections from now on, until its next start."""

    def serve_privately(self, addresses: Sequence[PrivateAddress]) -> None:
        """Let machines reach the edge at these addresses of apps, each from its own network, and at no others."""

    def limited(self) -> frozenset[str]:
        """Return the ids of the machines whose connections are limited."""

    def logs(
        self, machine_id: str, *, since: float = 0.0, offset: int = 0, limit: int = 1000, container: str = ""
    ) -> list[LogLine]:
        """Return up to `limit` log lines from `offset` on; a negative offset means the last `limit` lines.

        Each container has a log of its own, with offsets of its own.
        """

    def logged_containers(self, machine_id: str) -> list[str]:
        """Return the containers of a machine, "" for itself, that have a log."""

    def upper(self, machine_id: str) -> AbstractContextManager[Path]:
        """The writable layer of a stopped, not yet released machine (for sealing a build)."""

    def maintain(self) -> None:
        """Bound the logs of running machines and mend the network's rules; to be called every few seconds."""

    def disk_usage(self) -> tuple[int, int]:
        """Return (used, total) bytes of the pool."""

    def memory(self) -> tuple[int, int]:
        """Return (available, total) bytes of the host's memory."""
