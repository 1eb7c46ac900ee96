"""What a machine is to be, in the host's words: everything resolved, nothing left to look up.

Values only. Names are those of `contract`, which has the verbs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from roost.model.network_policy import NO_FILTER, Filter


@dataclass(frozen=True, slots=True)
class BindMount:
    """A host directory or file seen inside a machine, with the machine's id mapping applied.

    Only roost itself sets binds (build caches, source trees); they never come from a user.
    """

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """A volume seen inside a machine, read and write, with the machine's id mapping applied."""

    volume_id: str
    target: str


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One program of several in a machine, with everything resolved. `env` holds secrets."""

    name: str
    layers: tuple[Path, ...]
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict, repr=False)
    cwd: str = "/"
    user: str = ""
    stop_signal: str = "SIGINT"
    stop_timeout: float = 5.0
    mounts: tuple[tuple[str, str], ...] = ()  # name of one of the machine's shared directories, path inside
    files: tuple[FileInside, ...] = ()


@dataclass(frozen=True, slots=True)
class SharedDirectory:
    """A directory that the containers of a machine share while it runs.

    It is empty and has a size limit of its own, or is what an image holds, read-only.
    """

    name: str
    storage_type: str  # disk | memory | image
    size_mb: int = 0
    layers: tuple[Path, ...] = ()  # of the image, lowest first


@dataclass(frozen=True, slots=True)
class Resolving:
    """How a machine looks names up. No `nameservers`: the cloud's own, or those of the host where that isn't up."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()  # of resolv.conf(5)


@dataclass(frozen=True, slots=True)
class FileInside:
    """A file that a machine finds at its start. A `secret` one is never on a disk."""

    target: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    secret: bool = False


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine as the host needs it: everything resolved, nothing left to look up.

    `env` holds secrets: it may be written below the cloud's run directory (memory) only.
    """

    id: str  # 14 hex digits
    app: str
    slot: int  # decides the uid range; unique among the machines of the cloud
    network: str  # name of the private network: machines of one network reach each other, others do not
    ipv4: IPv4Address
    ipv6: IPv6Address
    hostname: str
    layers: tuple[Path, ...]  # directories of the image's layers, lowest first
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict, repr=False)
    cwd: str = "/"
    user: str = ""  # "", name, uid, name:group or uid:gid, resolved in the image's /etc/passwd
    memory_mb: int = 256
    cpus: float = 1.0
    cpu_weight: float = 1.0  # of each cpu, against other machines when processors are short
    swap_mb: int = 0  # beyond its memory
    pids: int = 1024
    disk_gb: int = 8
    stop_signal: str = "SIGINT"
    stop_timeout: float = 5.0
    binds: tuple[BindMount, ...] = ()
    volumes: tuple[VolumeMount, ...] = ()
    isolation: str = "crun"  # crun | gvisor
    builder: bool = False  # may mount and unshare inside its own user namespace: for image builds only
    tty: bool = False
    allowed: Filter = NO_FILTER  # by network policies: which connections it takes and makes
    containers: tuple[ContainerSpec, ...] = ()  # with any, `layers`, `argv` and what goes with them mean nothing
    shared: tuple[SharedDirectory, ...] = ()
    domain_name: str = ""  # the full name that belongs to `hostname`, "" for none
    resolving: Resolving = Resolving()
    files: tuple[FileInside, ...] = ()  # of a machine without containers
    keep_root: bool = False  # go on with the roots that an earlier run left, if they are of the same layers
