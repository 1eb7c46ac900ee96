"""What the host remembers about one machine: a directory below the cloud's run directory (memory).

State: RUN/m/MACHINE, and below that `c/CONTAINER` for each container of a machine that has several, laid out
the same way. `machine.json` is written first and removed last, so that whatever a kill left
half-made is found and undone; `main.json` says that the main process was started; `exit.json` tells of
the latest run and is all that remains after a stop. Files are written whole (a rename), mode 0600: the
OCI configuration holds secrets. After a reboot the directory is gone, and so is all that it told of.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from roost.host import mounts
from roost.model.cloud import Cloud
from roost.model.errors import HostFailure
from roost.model.machine import ExitInfo

# The runtime walks to the root and to the bound files as the machine's own root, who is nobody out here.
_PASSABLE = 0o711


@dataclass(frozen=True, slots=True)
class Record:
    """What undoing, adopting and running commands in a machine needs to know of its start."""

    slot: int
    link: str  # the name its network link was prepared under
    isolation: str
    builder: bool
    several: bool = False  # it has containers: what they share, and no program of its own


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """What ending a container, and deciding on its restart, needs to know of its start."""

    restarts: int  # in the current back-off window
    stop_signal: str
    stop_timeout: float


@dataclass(frozen=True, slots=True)
class MainProcess:
    """The main process. `ticks` is its start in clock ticks since boot: with the pid it is unique."""

    pid: int
    ticks: int
    started_at: float


class RunFiles:
    """The places and records of one program that the runtime runs: a machine's, or one of its containers."""

    def __init__(self, directory: Path, runtime_id: str, group: str) -> None:
        self.runtime_id = runtime_id  # what the runtime and conmon call it
        self.group = group  # its control group, below the cloud's
        self.directory = directory
        self.bundle = self.directory / "b"
        self.root = self.directory / "root"
        self.disk = self.directory / "disk"
        self.layers = self.directory / "layers"
        self.binds = self.directory / "binds"
        self.etc = self.directory / "etc"
        self.user_namespace = self.directory / "user"
        self.network_namespace = self.directory / "net"
        self.exits = self.directory / "exits"
        self.exit_code = self.exits / runtime_id  # conmon writes it; its time is the time of the exit
        self.pid = self.directory / "pid"
        self.monitor_pid = self.directory / "conmon.pid"
        self.door = self.directory / "api"  # what the machine sees as /.fly: its API's socket
        self.stopping = self.directory / "stopping"
        self.upper_name, self.work_name = "upper", "work"  # below the disk
        self._record = self.directory / "machine.json"
        self._main = self.directory / "main.json"
        self._exit = self.directory / "exit.json"

    @property
    def upper(self) -> Path:
        """Its writable layer, on the machine's mounted disk."""
        return self.disk / self.upper_name

    def make(self, record: Record | ContainerRecord) -> None:
        """Make the directories, with the record first. The former run is forgotten."""
        self.directory.mkdir(mode=_PASSABLE, parents=True, exist_ok=True)
        self._exit.unlink(missing_ok=True)
        write_whole(self._record, json.dumps(asdict(record)))
        for place in self._private():
            place.mkdir(mode=0o700, exist_ok=True)
        for place in (self.root, self.binds, self.etc):
            place.mkdir(mode=_PASSABLE, exist_ok=True)

    def _private(self) -> tuple[Path, ...]:
        return (self.bundle, self.layers, self.exits)

    def write_main(self, main: MainProcess) -> None:
        """Remember the main process."""
        write_whole(self._main, json.dumps(asdict(main)))

    def main(self) -> MainProcess | None:
        """Return the main process of the latest run, dead or alive."""
        data = _load(self._main)
        return MainProcess(**data) if data else None

    def write_exit(self, info: ExitInfo | None) -> None:
        """Keep how the latest run ended beyond the rest of its files."""
        if info is not None:
            write_whole(self._exit, json.dumps(asdict(info)))

    def exit(self) -> ExitInfo | None:
        """Return how the latest run ended, if it was kept."""
        data = _load(self._exit)
        return ExitInfo(**data) if data else None


class MachineFiles(RunFiles):
    """The places and records of one machine."""

    def __init__(self, cloud: Cloud, machine_id: str) -> None:
        super().__init__(directory(cloud) / machine_id, machine_id, machine_id)
        self.machine_id = machine_id
        self.secrets = self.directory / "secrets"  # files of the machine that hold secrets, in memory
        self.volumes = self.directory / "volumes"  # the volumes in use, each under its id
        self.shared = self.directory / "shared"  # the directories that its containers share, each under its name
        self._containers = self.directory / "c"

    def record(self) -> Record | None:
        """Return the record of the run that is under way or left things behind."""
        data = _load(self._record)
        return Record(**data) if data else None

    def container(self, name: str) -> ContainerFiles:
        """Return the places of one of its containers, there or not."""
        return ContainerFiles(self, self._containers / name, name)

    def containers(self) -> list[ContainerFiles]:
        """Return the places of the containers that were begun, by name."""
        if not self._containers.is_dir():
            return []
        return [self.container(path.name) for path in sorted(self._containers.iterdir())]

    def make_shared(self) -> None:
        """Make the places for what several containers share."""
        for place in (self.shared, self._containers):
            place.mkdir(mode=_PASSABLE, exist_ok=True)

    def _private(self) -> tuple[Path, ...]:
        return (*super()._private(), self.disk, self.volumes, self.secrets)

    def forget_run(self) -> None:
        """Remove all but how the run ended; the record goes last."""
        if not self.directory.is_dir():
            return
        self._release_mounts()
        for entry in self.directory.iterdir():
            if entry in (self._record, self._exit):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything."""
        self._release_mounts()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _release_mounts(self) -> None:
        """Unmount all below the directory: what is deleted next must never be another's files."""
        for point in mounts.mounts_below(self.directory):
            mounts.unmount(point)
        if left := mounts.mounts_below(self.directory):
            raise HostFailure(f"can't clean up machine {self.machine_id}: {left[0]} stays mounted")


class ContainerFiles(RunFiles):
    """The places and records of one container; namespaces and disk are the machine's."""

    def __init__(self, machine: MachineFiles, directory: Path, name: str) -> None:
        super().__init__(directory, f"{machine.machine_id}.{name}", f"{machine.group}/{name}")
        self.name = name
        self.unhealthy = directory / "unhealthy"  # it was ended for that
        self.secrets = directory / "secrets"  # its files that hold secrets, in memory
        self.disk = machine.disk
        self.door = machine.door
        self.user_namespace, self.network_namespace = machine.user_namespace, machine.network_namespace
        self.upper_name, self.work_name = f"c/{name}/upper", f"c/{name}/work"

    def record(self) -> ContainerRecord | None:
        """Return the record of the run that is under way or left things behind."""
        data = _load(self._record)
        return ContainerRecord(**data) if data else None

    def _private(self) -> tuple[Path, ...]:
        return (*super()._private(), self.secrets)

    def remove(self, *, keep_root: bool = False) -> None:
        """Remove everything; the writable layer too, unless that is kept."""
        for point in mounts.mounts_below(self.directory):
            mounts.unmount(point)
        if not keep_root:
            shutil.rmtree(self.disk / "c" / self.name, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def directory(cloud: Cloud) -> Path:
    """Return where the machines of a cloud have their directories. Short: a socket's path ends at 107 bytes."""
    return cloud.run / "m"


def ensure_directory(cloud: Cloud) -> None:
    """Make that place, and the way to it passable (not readable) for machines' users."""
    directory(cloud).mkdir(mode=_PASSABLE, parents=True, exist_ok=True)
    for place in (cloud.run, directory(cloud)):
        place.chmod(_PASSABLE)


def known(cloud: Cloud) -> list[str]:
    """Return the machines that have a directory."""
    return [path.name for path in directory(cloud).iterdir()] if directory(cloud).is_dir() else []


def write_whole(path: Path, text: str) -> None:
    """Write a private file so that a reader sees the old or the new text, never a part."""
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _load(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return data if isinstance(data, dict) else None
