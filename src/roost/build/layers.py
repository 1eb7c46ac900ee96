"""A shelf of image layers: directories in overlay form, one per layer id, each made once and never changed.

Owns one directory: `<id>/` is a layer's tree and `<id>.json` its record. The record is written last, so
a layer is there if and only if its record is. Trees are made under `.making-*` names on the same file
system, flushed to disk and renamed; what a killed process left half-made holds no lock any more and is
swept at the next start. Making a layer that is already there gives the one that is there.
The shelf is closed to other users of the host, since layers hold setuid programs of strangers.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from roost.model.errors import BadInput, HostFailure, out_of_space

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_MAKING = ".making-"
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """What is known of a layer. `owner` groups layers of one sort, such as one app's dependencies."""

    id: str
    bytes: int
    made_at: float
    owner: str = ""


def check_layer_id(layer_id: str) -> str:
    """Return `layer_id` if it can name a directory, else raise BadInput."""
    if _ID.fullmatch(layer_id):
        return layer_id
    raise BadInput(f"{layer_id[:80]!r} is not a layer id")


def write_json(path: Path, value: Any) -> None:
    """Replace a file by new JSON, all or nothing, also at a power failure."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with temporary.open("w") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(path: Path) -> None:
    """Flush the file system that holds `path`; raises HostFailure, InsufficientCapacity."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(fd) != 0:
            error = OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            raise out_of_space(error) or HostFailure(f"{path} could not be written to disk: {error.strerror}")
    finally:
        os.close(fd)


def tree_bytes(tree: Path) -> int:
    """Return what a tree's regular files hold, a file with several names counted once."""
    total, seen = 0, set()
    for directory, _, names in os.walk(tree):
        for name in names:
            status = os.lstat(f"{directory}/{name}")
            if stat.S_ISREG(status.st_mode) and (status.st_nlink == 1 or status.st_ino not in seen):
                seen.add(status.st_ino)
                total += status.st_size
    return total


class LayerShelf:
    """The layers in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self) -> None:
        """Make the directory if missing, and remove what killed processes left half-made."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        for leftover in self.directory.glob(f"{_MAKING}*"):
            fd = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover, ignore_errors=True)
            except BlockingIOError:  # another process is making it
                pass
            finally:
                os.close(fd)

    def path(self, layer_id: str) -> Path:
        """Return where the layer's tree is or would be."""
        return self.directory / check_layer_id(layer_id)

    def get(self, layer_id: str) -> LayerRecord | None:
        """Return the layer's record, or None when it is not here."""
        try:
            return LayerRecord(**json.loads((self.directory / f"{check_layer_id(layer_id)}.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def list(self) -> list[LayerRecord]:
        """Return all the layers that are here."""
        names = [path.name[: -len(".json")] for path in self.directory.glob("*.json") if path.name[0] != "."]
        return [record for name in names if (record := self.get(name)) is not None]

    def newest(self, key: str) -> str:
        """Return the id of the newest layer whose id is `key` or begins with `key-`; "" for none."""
        names = {path.name[: -len(".json")] for path in self.directory.glob(f"{check_layer_id(key)}*.json")}
        made = [record for name in names if name == key or name.startswith(f"{key}-") if (record := self.get(name))]
        return max(made, key=lambda record: record.made_at).id if made else ""

    def touch(self, layer_id: str) -> None:
        """Note that a layer was used now."""
        with suppress(FileNotFoundError):
            os.utime(self.directory / f"{check_layer_id(layer_id)}.json")

    def used_at(self, layer_id: str) -> float:
        """Return when a layer was made or last touched; 0 when it is not here."""
        try:
            return (self.directory / f"{check_layer_id(layer_id)}.json").stat().st_mtime
        except FileNotFoundError:
            return 0.0

    @contextmanager
    def making(self, layer_id: str, *, owner: str = "") -> Iterator[Path]:
        """Give an empty directory to fill; it becomes the layer when the block ends without an error.

        When the layer came to be meanwhile, the new tree is thrown away.
        """
        final = self.path(layer_id)
        temporary = self.directory / f"{_MAKING}{layer_id}-{secrets.token_hex(4)}"
        temporary.mkdir(mode=0o755)
        temporary.chmod(0o755)
        fd = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield temporary
            if self.get(layer_id) is None:
                record = LayerRecord(layer_id, tree_bytes(temporary), time.time(), owner)
                sync_file_system(temporary)
                if final.exists():  # made, but killed before its record was written
                    shutil.rmtree(final)
                temporary.rename(final)
                write_json(self.directory / f"{layer_id}.json", asdict(record))
        finally:
            if temporary.exists():
                shutil.rmtree(temporary, ignore_errors=True)
            os.close(fd)

    def remove(self, layer_id: str) -> int:
        """Remove a layer and return the bytes freed; one that is not here frees nothing."""
        record = self.get(layer_id)
        (self.directory / f"{check_layer_id(layer_id)}.json").unlink(missing_ok=True)
        path = self.path(layer_id)
        if path.exists():
            doomed = self.directory / f"{_MAKING}gone-{secrets.token_hex(4)}"
            path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        return record.bytes if record else 0
