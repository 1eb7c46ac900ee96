"""A process of the edge that is kept running: what starts it, and what shows that it is ours and well. Pure.

Units are written as JSON, so that the process that keeps them running needs to know nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Unit:
    """A cell's Envoy, or the front."""

    name: str  # "cell 0", "front"
    argv: tuple[str, ...]
    pid_file: Path
    log: Path
    probe: Path  # unix socket on which it answers questions
    question: str
    answer: str  # part of every answer: this cloud's own words, so that no other's process is taken for it
    ports: tuple[tuple[int, str], ...] = ()  # TCP ports that must be free before it starts, with the flag for each
    stale: tuple[Path, ...] = ()  # sockets of a dead predecessor


def unit_to_json(unit: Unit) -> dict[str, Any]:
    """Return a unit for the file that lists them."""
    return {
        "name": unit.name,
        "argv": list(unit.argv),
        "pid_file": str(unit.pid_file),
        "log": str(unit.log),
        "probe": str(unit.probe),
        "question": unit.question,
        "answer": unit.answer,
        "ports": [list(port) for port in unit.ports],
        "stale": [str(path) for path in unit.stale],
    }


def unit_from_json(data: Mapping[str, Any]) -> Unit:
    """Return what `unit_to_json` gave; raises KeyError, TypeError, ValueError."""
    return Unit(
        name=str(data["name"]),
        argv=tuple(str(word) for word in data["argv"]),
        pid_file=Path(data["pid_file"]),
        log=Path(data["log"]),
        probe=Path(data["probe"]),
        question=str(data["question"]),
        answer=str(data["answer"]),
        ports=tuple((int(port), str(flag)) for port, flag in data["ports"]),
        stale=tuple(Path(path) for path in data["stale"]),
    )


def public_ports(http: int, https: int) -> tuple[tuple[int, str], ...]:
    """Return the edge's public ports with the flags that set them; a port of 0 is none."""
    return tuple((port, flag) for port, flag in ((http, "--http-port"), (https, "--https-port")) if port)
