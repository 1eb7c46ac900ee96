"""Numbers of private networks: the link group that the packet rules compare.

It owns the file `groups.json` in the cloud's run directory, which lives as long as the links do (until
the next boot). Invariant: two networks with a living machine never have the same number. Every reading
and writing happens under one file lock, which is held until the number is on the machine's link, so
several processes may work on one cloud. A number is written down before it is used; a crash in
between wastes one number. When the file is lost, numbering goes on above those that living links carry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from roost.host import file_lock
from roost.host.nftables import PREPARED_GROUPS

_FILE = "groups.json"
_LOCK = "groups.lock"


def choose(known: Mapping[str, int], network: str, in_use: frozenset[int]) -> dict[str, int]:
    """Return `known` with a number for `network`: its own, or the smallest that nobody holds.

    Numbers of networks without a living link are given up only when the prepared ones run out.
    """
    if network in known:
        return dict(known)
    kept = dict(known)
    if len(kept) >= PREPARED_GROUPS:
        kept = {name: number for name, number in kept.items() if number in in_use}
    taken = set(kept.values()) | in_use
    number = next(n for n in range(1, len(taken) + 2) if n not in taken)
    return {**kept, network: number}


class NetworkGroups:
    """The numbers of one cloud's networks. `living` returns the groups that the cloud's links carry."""

    def __init__(self, directory: Path, living: Callable[[], frozenset[int]]) -> None:
        self._directory = directory
        self._living = living

    @contextmanager
    def held(self, network: str) -> Iterator[int]:
        """Give the number of `network`, allotting one if need be; nobody else allots while the block runs."""
        with self._locked():
            known = self._read()
            if network not in known:
                known = choose(known, network, self._living())
                self._write(known)
            yield known[network]

    def numbers(self) -> tuple[int, ...]:
        """Return all numbers that are written down."""
        with self._locked():
            return tuple(sorted(self._read().values()))

    def remove(self) -> None:
        """Forget everything; for the end of the cloud."""
        for name in (_FILE, f"{_FILE}.new", _LOCK):
            (self._directory / name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with file_lock.held(self._directory / _LOCK):
            yield

    def _read(self) -> dict[str, int]:
        try:
            return {str(k): int(v) for k, v in json.loads((self._directory / _FILE).read_text()).items()}
        except (FileNotFoundError, ValueError, AttributeError, TypeError):
            return {}

    def _write(self, known: Mapping[str, int]) -> None:
        fresh = self._directory / f"{_FILE}.new"
        fresh.write_text(json.dumps(known))
        fresh.replace(self._directory / _FILE)
