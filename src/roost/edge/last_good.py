"""What a cell is started with when roostd can't say: all that its Envoy took, and over a reboot its certificates.

State: two journals of a cell. One is in the run directory, in memory, and has everything. The other is in the home,
on disk, and has certificates only, with their keys, for root alone to read: no machine outlives a reboot, so routes
would lead nowhere then, but names shall still be answered by TLS. After a disk error they are written anew with the
next change that the disk takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from roost.edge.journal import Journal, read_journal
from roost.edge.protos import SECRET
from roost.model.cloud import Cloud

Table = Mapping[str, Mapping[str, Any]]


def kept_directory(cloud: Cloud) -> Path:
    """Return where the edge's part of the home is."""
    return cloud.home / "edge"


def certificates_file(cloud: Cloud, cell: str) -> Path:
    """Return where a cell's certificates are kept over a reboot."""
    return kept_directory(cloud) / f"certificates-{cell}"


class LastGood:
    """Writes both journals. One process does at a time."""

    def __init__(self, memory: Path, disk: Path) -> None:
        self._all, self._certificates = Journal(memory), Journal(disk)
        self._disk = disk

    def begin(self) -> dict[str, dict[str, Any]]:
        """Return what an earlier process recorded of an Envoy that may still run, and go on from there."""
        with contextlib.suppress(OSError):
            self._disk.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._certificates.begin()
        return self._all.begin()

    def note(self, kind: str, resources: Iterable[Any], removed: Iterable[str] = ()) -> None:
        """Record resources that Envoy acknowledged, and names that are to go."""
        found, gone = list(resources), list(removed)
        self._all.note(kind, found, gone)
        if kind == SECRET:
            self._certificates.note(kind, found, gone)

    def is_wasteful(self) -> bool:
        """Say whether most of a file no longer counts."""
        return self._all.is_wasteful() or self._certificates.is_wasteful()

    def rewrite(self, table: Table) -> None:
        """Write the files anew with what counts, taken from the whole table."""
        self._all.rewrite(table)
        self._certificates.rewrite(table)

    def close(self) -> None:
        """Close the files; a later note does nothing."""
        self._all.close()
        self._certificates.close()


def read_last_good(memory: Path, disk: Path) -> dict[str, dict[str, Any]]:
    """Return what a new Envoy is to have, by type and name: all of it, or after a reboot the certificates."""
    return read_journal(memory) or read_journal(disk)
