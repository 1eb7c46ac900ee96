"""Uploaded source trees, unpacked once and kept for a while.

Owns `sources/` below the directory it is given (best one on the pool, where copying a tree into a
layer shares its blocks). A source is `sources/<id>/tree` with `meta.json` beside it, and its id is the
SHA-256 of the archive as it came, so the same upload twice is one source. A tree is unpacked under
another name and renamed when it is whole; a half-made one is swept at the next start. The newest
`keep` sources stay, older ones go when a new one comes.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from roost.build.archive import unpack_source
from roost.build.layers import sync_file_system
from roost.build.tar_stream import ByteStream
from roost.model.errors import NotFound

MAX_BYTES = 4 << 30
MAX_FILES = 200_000
_ID = re.compile(r"[0-9a-f]{64}")
_MAKING = ".making-"
_YOUNG = 3600.0  # seconds: a source that was received just now may be about to be deployed


@dataclass(frozen=True, slots=True)
class Source:
    """A received source tree. `bytes` is its content unpacked, `path` the tree: read it, never write it."""

    id: str
    bytes: int
    files: int
    path: Path


class SourceStore:
    """The source trees below `home/sources`."""

    def __init__(self, home: Path, *, keep: int = 20, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
        self._directory = home / "sources"
        self._keep, self._max_bytes, self._max_files = keep, max_bytes, max_files
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        for leftover in self._directory.glob(f"{_MAKING}*"):
            if leftover.stat().st_mtime < time.time() - _YOUNG:
                shutil.rmtree(leftover, ignore_errors=True)

    def receive(self, stream: ByteStream) -> Source:
        """Unpack an archive (a tar, plain or compressed by gzip or zstd); raises BadInput naming the bad member."""
        making = self._directory / f"{_MAKING}{secrets.token_hex(8)}"
        tree = making / "tree"
        tree.mkdir(parents=True)
        try:
            unpacked = unpack_source(stream, tree, max_bytes=self._max_bytes, max_files=self._max_files)
            source_id = unpacked.digest.removeprefix("sha256:")
            meta = {"bytes": unpacked.bytes, "files": unpacked.files}
            (making / "meta.json").write_text(json.dumps(meta))
            sync_file_system(making)
            try:
                making.rename(self._directory / source_id)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # the same archive was received before
                    raise
                os.utime(self._directory / source_id)
        finally:
            if making.exists():
                shutil.rmtree(making, ignore_errors=True)
        self.collect()
        return self.get(source_id)

    def get(self, source_id: str) -> Source:
        """Return a source by id; raises NotFound."""
        path = self._directory / source_id
        try:
            if not _ID.fullmatch(source_id):
                raise FileNotFoundError
            meta = json.loads((path / "meta.json").read_text())
            return Source(source_id, int(meta["bytes"]), int(meta["files"]), path / "tree")
        except (FileNotFoundError, ValueError, KeyError):
            raise NotFound(
                f"there is no source {source_id[:80]!r}", hint="send the source again: roost deploy"
            ) from None

    def collect(self) -> None:
        """Remove all but the newest sources, and those received within the last hour."""
        trees = [path for path in self._directory.iterdir() if _ID.fullmatch(path.name)]
        trees.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in trees[self._keep :]:
            if path.stat().st_mtime < time.time() - _YOUNG:
                shutil.rmtree(path, ignore_errors=True)
