"""Reading a tar from an untrusted stream: decompression, digests and bounds in one pass.

Owns no state beyond the reading. A stream may lie about anything; what is bounded here is the bytes
that come out of the decompressor and the size of the headers that tarfile keeps in memory.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Protocol

import zstandard

from roost.model.errors import BadInput

_CHUNK = 1 << 18
_HEADER_LIMIT = 1 << 20  # long names and pax records; real ones are a few KiB
_EXTENSION_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class ByteStream(Protocol):
    """Anything that gives bytes: a file, a request body."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""


class Digesting:
    """Passes a stream on while it is hashed and counted; raises `excess()` beyond `limit` bytes."""

    def __init__(self, stream: ByteStream, limit: int | None, excess: Callable[[], Exception]) -> None:
        self._stream, self._limit, self._excess = stream, limit, excess
        self._hash = hashlib.sha256()
        self.count = 0

    @property
    def digest(self) -> str:
        """`sha256:` and the hash of all that was read."""
        return f"sha256:{self._hash.hexdigest()}"

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes."""
        data = self._stream.read(_CHUNK if size is None or size < 0 else size)
        self._hash.update(data)
        self.count += len(data)
        if self._limit is not None and self.count > self._limit:
            raise self._excess()
        return data

    def drain(self) -> None:
        """Read to the end, so that the digest is of all."""
        while self.read(_CHUNK):
            pass


class _Joined:
    """A stream whose first bytes were already looked at."""

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._stream.read(size)


class _Gunzip:
    """gzip with bounded output per read. Several members in a row are one stream, as gzip(1) has it."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj(31)
        self._fed = False

    def read(self, size: int, /) -> bytes:
        while True:
            if self._inflate.eof:
                rest = self._inflate.unused_data or self._stream.read(_CHUNK)
                if not rest or not rest.strip(b"\0"):
                    return b""
                self._inflate = zlib.decompressobj(31)
                data = self._inflate.decompress(rest, size)
            elif self._inflate.unconsumed_tail:
                data = self._inflate.decompress(self._inflate.unconsumed_tail, size)
            else:
                raw = self._stream.read(_CHUNK)
                if not raw:
                    raise zlib.error("the stream ends in the middle")
                data = self._inflate.decompress(raw, size)
            if data:
                return data


def decompressed(stream: ByteStream) -> ByteStream:
    """Return the stream, decompressed when it begins as gzip or zstd does."""
    head = b""
    while len(head) < 4 and (more := stream.read(4 - len(head))):
        head += more
    joined = _Joined(head, stream)
    if head[:2] == b"\x1f\x8b":
        return _Gunzip(joined)
    if head == b"\x28\xb5\x2f\xfd":
        # 128 MiB of window is what zstd(1) itself allows by default
        return zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
            _as_file(joined), read_across_frames=True
        )
    return joined


def _as_file(stream: ByteStream) -> IO[bytes]:
    class Raw(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1, /) -> bytes:
            return stream.read(_CHUNK if size is None or size < 0 else size)

    return Raw()  # type: ignore[return-value]


class _BoundedHeaders(tarfile.TarInfo):
    """Refuses extension headers that would fill the memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo | tarfile.TarFile:
        if self.type in _EXTENSION_TYPES and self.size > _HEADER_LIMIT:
            raise BadInput(f"the archive has a header of {self.size} bytes; at most {_HEADER_LIMIT} are allowed")
        if self.size < 0:
            raise BadInput("the archive has a member with a negative size")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]


def members(stream: ByteStream, *, what: str) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yield each member with a reader of its content (regular files only); raises BadInput on a broken archive."""
    try:
        with tarfile.open(
            fileobj=_as_file(stream), mode="r|", tarinfo=_BoundedHeaders, bufsize=1 << 16, errors="surrogateescape"
        ) as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps all of them; a million add up
                yield member, archive.extractfile(member) if member.isreg() else None
    except (tarfile.TarError, zlib.error, zstandard.ZstdError, EOFError, ValueError) as error:
        raise BadInput(
            f"{what} is not a readable tar archive: {error}", hint="send a tar, plain or compressed by gzip or zstd"
        ) from None
