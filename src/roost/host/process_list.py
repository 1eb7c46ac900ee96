"""What runs in a machine: its processes as /proc shows them, and the sockets they listen on.

Stateless. The processes are hostile: what they say of themselves is read up to a bound, never trusted to
be text, and one that ends meanwhile is left out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from roost.host.contract import Listening, ProcessInfo

MAX_PROCESSES = 1024
MAX_COMMAND = 4096  # bytes
MAX_DESCRIPTORS = 65_536  # of all processes: a machine can hold very many, and each costs a look
MAX_SOCKETS = 4096  # lines of each of the kernel's tables
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_WAITING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}  # include/net/tcp_states.h: LISTEN, unconnected


def list_processes(pids: Iterable[int], proc: Path = Path("/proc")) -> list[ProcessInfo]:
    """Return the processes with these pids (of the host), ordered by the pids they have in their machine."""
    pids = sorted(pids)[:MAX_PROCESSES]
    looks = iter(range(MAX_DESCRIPTORS))
    sockets: dict[str, dict[int, Listening]] = {}
    found = []
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            place = proc / str(pid)
            namespace = str((place / "ns/net").readlink())
            if namespace not in sockets:
                sockets[namespace] = _listening(place)
            found.append(_read(place, sockets[namespace], looks, proc))
    return sorted(found, key=lambda process: process.pid)


def _read(place: Path, sockets: dict[int, Listening], looks: Iterator[int], proc: Path) -> ProcessInfo:
    stat = (place / "stat").read_text(errors="replace")
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat.rpartition(")")[2].split()
    user, system, started = int(fields[11]), int(fields[12]), int(fields[19])
    status = (place / "status").read_text(errors="replace")
    inside = next((line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:")), place.name)
    up = float((proc / "uptime").read_text().split()[0])
    return ProcessInfo(
        pid=int(inside),
        command=_command(place) or f"[{name}]",
        directory=_directory(place),
        rss_bytes=int(fields[21]) * _PAGE,
        cpu_seconds=(user + system) / _TICKS,
        system_seconds=system / _TICKS,
        running_seconds=max(0.0, up - started / _TICKS),
        listening=tuple(sockets[inode] for inode in _socket_inodes(place, looks) if inode in sockets),
    )


def _command(place: Path) -> str:
    with (place / "cmdline").open("rb") as file:
        return file.read(MAX_COMMAND).rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def _directory(place: Path) -> str:
    try:
        return os.fsencode((place / "cwd").readlink()).decode(errors="replace")
    except OSError:
        return ""


def _socket_inodes(place: Path, looks: Iterator[int]) -> list[int]:
    """Return the sockets that a process holds, each once; every descriptor takes one of the `looks`."""
    inodes: dict[int, None] = {}
    with os.scandir(place / "fd") as entries:
        for _, entry in zip(looks, entries, strict=False):
            with contextlib.suppress(OSError):
                target = str(Path(entry.path).readlink())
                if target.startswith("socket:["):
                    inodes[int(target[8:-1])] = None
    return list(inodes)


def _listening(place: Path) -> dict[int, Listening]:
    """Return the sockets that wait for others in a process's network, by inode."""
    found: dict[int, Listening] = {}
    for protocol, state in _WAITING.items():
        try:
            with (place / "net" / protocol).open() as lines:
                next(lines, "")
                for _, line in zip(range(MAX_SOCKETS), lines, strict=False):
                    fields = line.split()
                    if fields[3] == state:
                        found[int(fields[9])] = Listening(protocol, parse_address(fields[1]))
        except OSError:
            continue
    return found


def parse_address(text: str) -> str:
    """Return host:port of an address as the kernel's tables print it: 32-bit words in host byte order."""
    words, _, port = text.partition(":")
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    host = str(IPv4Address(raw)) if len(raw) == 4 else f"[{IPv6Address(raw)}]"
    return f"{host}:{int(port, 16)}"
