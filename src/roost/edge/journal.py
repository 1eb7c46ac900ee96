"""The last good configuration of a cell: what its Envoy acknowledged, kept where another process can read it.

State: one file below the run directory, only root's to read since it holds certificates' keys. Records are appended,
each with its length and a checksum: a reader takes whole ones and stops at a torn end. A removal is recorded when it
is wanted, a setting when it was acknowledged, so what is read is never ahead of Envoy, and never leads to an app that
was on its way to sleep. When old records outweigh those that count, the file is written anew, and so it is after a
disk error with the next change that the disk takes; until then it is out of date.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from roost.edge.protos import DeltaDiscoveryResponse

_HEAD = struct.Struct("<II")  # length, CRC-32
SLACK = 1 << 20  # bytes of outdated records that are no reason to write the file anew
PAUSE = 1.0  # seconds between two tries to do so when the disk does not take it


class Journal:
    """Writes the file. One process does at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._size = self._live = 0
        self._torn = False  # the file lacks something
        self._next_try = 0.0  # when it may be written anew for that
        self._is_closed = False
        self._sizes: dict[tuple[str, str], int] = {}  # of the records that count

    def note(self, kind: str, resources: Iterable[Any], removed: Iterable[str] = ()) -> None:
        """Record resources that Envoy acknowledged, and names that are to go."""
        records = [(resource.name, _record(kind, resource)) for resource in resources]
        gone = [name for name in removed if (kind, name) in self._sizes]
        for name, record in records:
            self._live += len(record) - self._sizes.get((kind, name), 0)
            self._sizes[kind, name] = len(record)
        for name in gone:
            self._live -= self._sizes.pop((kind, name))
        data = b"".join([*(record for _, record in records), *(_removal(kind, name) for name in gone)])
        if data:
            self._append(data)

    def is_wasteful(self) -> bool:
        """Say whether most of the file no longer counts, or it lacks what does."""
        return (self._torn and time.monotonic() >= self._next_try) or self._size > 2 * self._live + SLACK

    def rewrite(self, table: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the file anew with what counts, taken from the whole table."""
        kept = [(kind, name) for kind, name in self._sizes if name in table.get(kind, {})]
        data = b"".join(_record(kind, table[kind][name]) for kind, name in kept)
        fresh = self._path.with_suffix(".new")
        try:
            fresh.unlink(missing_ok=True)
            self._open(fresh)
            self._size, self._torn = 0, False
            self._append(data)
            if not self._torn:
                fresh.replace(self._path)
        except OSError:
            self._torn = True
        if self._torn:  # what was there stays
            self._let_go()
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            self._next_try = time.monotonic() + PAUSE
        self._sizes = {key: size for key, size in self._sizes.items() if key in set(kept)}
        self._live = sum(self._sizes.values())

    def begin(self) -> dict[str, dict[str, Any]]:
        """Return what an earlier process recorded, and go on from there."""
        found = read_journal(self._path)
        for kind, resources in found.items():
            for name, resource in resources.items():
                self._sizes[kind, name] = len(_record(kind, resource))
        self._live = sum(self._sizes.values())
        with contextlib.suppress(OSError):
            self._open(self._path)
            self._size = os.fstat(self._descriptor).st_size
        self.rewrite(found)  # so that a torn end is followed by nothing
        return found

    def close(self) -> None:
        """Close the file; a later note does nothing."""
        self._let_go()
        self._is_closed = True

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, path: Path) -> None:
        self._let_go()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _append(self, data: bytes) -> None:
        if self._is_closed:
            return
        written = 0
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                written = os.write(self._descriptor, data)
        self._size += written
        self._torn |= written < len(data)


def read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """Return the last good configuration by type and name; empty when there is none."""
    found: dict[str, dict[str, Any]] = {}
    try:
        data = path.read_bytes()
    except OSError:
        return found
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        at += _HEAD.size + length
        if len(body) < length or zlib.crc32(body) != checksum:
            break
        record = DeltaDiscoveryResponse.FromString(body)
        table = found.setdefault(record.type_url, {})
        for resource in record.resources:
            table[resource.name] = resource
        for name in record.removed_resources:
            table.pop(name, None)
    return found


def _record(kind: str, resource: Any) -> bytes:
    return _framed(DeltaDiscoveryResponse(type_url=kind, resources=[resource]))


def _removal(kind: str, name: str) -> bytes:
    return _framed(DeltaDiscoveryResponse(type_url=kind, removed_resources=[name]))


def _framed(message: Any) -> bytes:
    body: bytes = message.SerializeToString(deterministic=True)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body
