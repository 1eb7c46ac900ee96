"""A process of the edge that is kept running: what starts it, and what shows that it is ours and well. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked on a unit's socket, and what is part of every answer."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A cell's Envoy, or the front."""

    name: str  # "cell 0", "front"
    argv: tuple[str, ...]
    pid_file: Path
    log: Path
    probe: Path  # unix socket on which it answers questions
    identity: Question  # answered in this cloud's own words, so that no other's process is taken for it
    pulse: Question  # whether it is well, asked each second: it should cost little
    ports: tuple[tuple[int, str], ...] = ()  # TCP ports that must be free before it starts, with the flag for each
    stale: tuple[Path, ...] = ()  # sockets of a dead predecessor
    awake: tuple[str, ...] = ()  # beginnings of the names of threads that wake often, see `threads`
    goes_on: bool = False  # one that was stopped is told to go on before it is killed: long connections hang on it


def public_ports(http: int, https: int) -> tuple[tuple[int, str], ...]:
    """Return the edge's public ports with the flags that set them; a port of 0 is none."""
    return tuple((port, flag) for port, flag in ((http, "--http-port"), (https, "--https-port")) if port)
