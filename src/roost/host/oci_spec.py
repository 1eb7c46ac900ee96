"""A machine as an OCI runtime configuration (pure): MachineSpec in, the config.json object out.

Isolation is decided here: every namespace is the machine's own, root inside is nobody outside, the
kernel's knobs in /proc and /sys are masked or read-only, capabilities are those an ordinary server
program may need, and a builder gets more only inside its own user namespace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roost.host import seccomp
from roost.host.contract import BindMount, MachineSpec, Resolving
from roost.host.namespaces import IDS, uid_base
from roost.host.users import User
from roost.model.errors import BadInput

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",
    "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
)  # fmt: skip
_BUILDER_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_DAC_READ_SEARCH")
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/proc/kallsyms", "/proc/kmsg",
    "/sys/firmware", "/sys/devices/virtual/powercap", "/sys/kernel",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
OOM_SCORE = 500  # when the host itself runs out of memory, a machine goes before roostd and Envoy
CORE_LIMIT = 1  # 0 keeps a core from a core_pattern that is a file, 1 also from one that is a pipe
_OPEN_FILES = 65536
_GVISOR_THREADS, _GVISOR_KERNEL = 4, 512  # per process inside, and for itself
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 (a path inside the machine)


@dataclass(frozen=True, slots=True)
class Places:
    """Where on the host the parts of one machine are."""

    root: Path
    user_namespace: Path
    network_namespace: Path
    files: dict[str, Path]  # target inside -> file of roost's own that is shown there, read-only
    binds: tuple[Path, ...]  # host path of each of the spec's binds, with the ids already mapped
    cgroup: str


@dataclass(frozen=True, slots=True)
class HostTraits:
    """What the host's kernel can do."""

    architecture: str
    unified_cgroups: bool
    limits_swap: bool
    cpus: int
    open_files: int  # the hard limit of roostd itself; nothing inside a user namespace may go beyond


def machine_config(spec: MachineSpec, user: User, places: Places, traits: HostTraits) -> dict[str, Any]:
    """Return the config.json object of a machine; raises BadInput."""
    if not spec.argv or any("\0" in word for word in spec.argv):
        raise BadInput(f"machine {spec.id} has no command to run", hint="give the image a CMD or set init.exec")
    return {
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": {"path": str(places.root), "readonly": False},
        "process": process(spec, user, traits),
        "mounts": _mounts(spec, places, traits),
        "linux": {
            "namespaces": _namespaces(spec, places),
            "uidMappings": [{"containerID": 0, "hostID": uid_base(spec.slot), "size": IDS}],
            "gidMappings": [{"containerID": 0, "hostID": uid_base(spec.slot), "size": IDS}],
            "cgroupsPath": f"/{places.cgroup}",
            "resources": resources(spec, traits),
            "seccomp": seccomp.profile(architecture=traits.architecture, builder=spec.builder),
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }


def process(spec: MachineSpec, user: User, traits: HostTraits) -> dict[str, Any]:
    """Return the `process` object of a machine's main process."""
    environment = {"PATH": PATH, "HOME": user.home, "HOSTNAME": spec.hostname}
    if spec.tty:
        environment["TERM"] = "xterm-256color"
    environment |= spec.env
    names = list(_CAPABILITIES + (_BUILDER_CAPABILITIES if spec.builder else ()))
    files = min(_OPEN_FILES, traits.open_files)
    held = names if user.uid == 0 else []
    return {
        "terminal": spec.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": list(spec.argv),
        "env": [f"{name}={value}" for name, value in environment.items()],
        "cwd": spec.cwd or "/",
        "capabilities": {"bounding": names, "effective": held, "permitted": held, "inheritable": [], "ambient": []},
        "rlimits": [_rlimit("NOFILE", files), _no_cores(), *_own_limits(spec)],
        "noNewPrivileges": not spec.builder,
        "oomScoreAdj": OOM_SCORE,
    }


def _no_cores() -> dict[str, Any]:
    """A core dump would go where the host's core_pattern says."""
    return _rlimit("CORE", CORE_LIMIT)


def _own_limits(spec: MachineSpec) -> list[dict[str, Any]]:
    """gVisor counts processes by itself: the control group counts the threads of its kernel."""
    return [_rlimit("NPROC", spec.pids)] if spec.isolation == "gvisor" else []


def _rlimit(name: str, value: int) -> dict[str, Any]:
    return {"type": f"RLIMIT_{name}", "hard": value, "soft": value}


def _namespaces(spec: MachineSpec, places: Places) -> list[dict[str, str]]:
    user = {"type": "user", "path": str(places.user_namespace)}
    if spec.isolation == "gvisor":
        del user["path"]  # runsc can't join one: it makes another, with the same ids
    return [
        user,
        {"type": "network", "path": str(places.network_namespace)},
        *({"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")),
    ]


def resources(spec: MachineSpec, traits: HostTraits) -> dict[str, Any]:
    """Return the limits of a machine, or of the containers of one together."""
    memory = spec.memory_mb << 20
    period = 100_000
    limits: dict[str, Any] = {
        "memory": {"limit": memory} | ({"swap": memory + (spec.swap_mb << 20)} if traits.limits_swap else {}),
        "pids": {"limit": _host_pids(spec)},
        "cpu": {"shares": max(2, int(1024 * spec.cpus * spec.cpu_weight))},
    }
    if spec.cpus < traits.cpus:
        limits["cpu"] |= {"quota": max(1000, int(period * spec.cpus)), "period": period}
    return limits


def _host_pids(spec: MachineSpec) -> int:
    """Return how many threads the machine may have on the host; gVisor's kernel needs some per process inside."""
    return spec.pids * _GVISOR_THREADS + _GVISOR_KERNEL if spec.isolation == "gvisor" else spec.pids


def _mounts(spec: MachineSpec, places: Places, traits: HostTraits) -> list[dict[str, Any]]:
    shared_memory = max(1, spec.memory_mb // 2)
    mounts = [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=1024k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount(_SHARED_MEMORY, "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", f"size={shared_memory}m"),
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
    ]
    if traits.unified_cgroups:
        mounts.append(_mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"))
    for target, source in places.files.items():
        mounts.append(_mount(target, "bind", str(source), "bind", "nosuid", "noexec", "nodev", "ro"))
    for bind, source in zip(spec.binds, places.binds, strict=True):
        mounts.append(
            _mount(_target(bind), "bind", str(source), "rbind", "nosuid", "nodev", "ro" if bind.read_only else "rw")
        )
    return mounts


def _target(bind: BindMount) -> str:
    if not bind.target.startswith("/") or ".." in bind.target.split("/"):
        raise BadInput(f"a bind's target must be an absolute path, not {bind.target[:80]!r}")
    return bind.target


def _mount(target: str, fstype: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": fstype, "source": source, "options": list(options)}


def hosts_file(hostname: str, ipv4: str, ipv6: str) -> str:
    """Return the text of a machine's /etc/hosts."""
    names = f"{hostname}\n"
    return (
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        f"{ipv4}\t{names}{ipv6}\t{names}{ipv6}\tfly-local-6pn\n"
    )


def resolver_file(resolving: Resolving, nameservers: Sequence[str]) -> str:
    """Return the text of a machine's /etc/resolv.conf (resolv.conf(5))."""
    lines = [f"nameserver {address}" for address in resolving.nameservers or nameservers]
    if resolving.searches:
        lines.append(f"search {' '.join(resolving.searches)}")
    if resolving.options:
        lines.append(f"options {' '.join(resolving.options)}")
    return "".join(f"{line}\n" for line in lines)
