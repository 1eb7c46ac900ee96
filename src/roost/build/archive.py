"""Unpacking what strangers send: source uploads and image layers. Nothing leaves the destination.

Owns no state; writes below the directory it is given and nowhere else, whatever the archive says
(`beneath` lets the kernel see to it). A failure leaves a partial tree: callers unpack into a directory
of their own, and rename it only when the call has returned. Running twice over the same tree ends the same.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from roost.build.beneath import Beneath, leads_outside
from roost.build.tar_stream import ByteStream, Digesting, decompressed, members
from roost.model.errors import FREE_SPACE, BadInput, HostFailure, InsufficientCapacity

LAYER_MAX_BYTES = 32 << 30
LAYER_MAX_FILES = 2_000_000
_LAST_ID = 65535  # a machine has the ids 0..65535
_NOBODY = 65534
_CHUNK = 1 << 20
_HEADER_BYTES = 4096  # what one member may add to the stream beyond its content: header, pax record, padding
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive held. `digest` is of the stream as it came, `diff_id` of the tar inside."""

    digest: str
    diff_id: str
    files: int
    bytes: int  # of content, unpacked


def unpack_source(stream: ByteStream, destination: Path, *, max_bytes: int, max_files: int) -> Unpacked:
    """Unpack an uploaded source tree into an empty directory; owners become root, permissions 0644 or 0755.

    Raises BadInput that names the member for anything but directories, regular files and links that
    stay inside, and when the content is over `max_bytes` or `max_files`.
    """
    tally = _Tally("the source", max_bytes, max_files)
    links: list[str] = []
    with Beneath(destination, follow_links=False) as tree:

        def place(member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
            _place_source_member(tree, member, content, links)

        unpacked = _unpack(stream, place, tally)
        for path in links:
            if leads_outside(tree.root, path):
                raise BadInput(
                    f"{_shown(path)} in the source links to outside of it", hint="remove the link or copy the file"
                )
    return unpacked


def apply_layer(
    stream: ByteStream,
    root: Path,
    *,
    digest: str = "",
    diff_id: str = "",
    overlay: bool = False,
    max_bytes: int = LAYER_MAX_BYTES,
    max_files: int = LAYER_MAX_FILES,
) -> Unpacked:
    """Apply an OCI layer (image spec, layer.md) to `root`, which may hold the layers below already.

    With `overlay` the root holds this layer alone and whiteouts become overlayfs's; otherwise they remove
    what is there. Devices, fifos and extended attributes are left out, ids beyond 65535 become nobody.
    `digest` (of the blob) and `diff_id` (of the tar), when given, are verified; raises BadInput.
    """
    tally = _Tally("the layer", max_bytes, max_files)
    with Beneath(root, follow_links=True) as tree:
        layer = _LayerWriter(tree, overlay)
        unpacked = _unpack(stream, layer.place, tally)
    for name, wanted, got in (("digest", digest, unpacked.digest), ("diff_id", diff_id, unpacked.diff_id)):
        if wanted and wanted != got:
            raise BadInput(
                f"a layer's {name} is {got} and should be {wanted}", hint="it was damaged on its way: pull it again"
            )
    return unpacked


class _Tally:
    """Counts what comes out, against the bounds."""

    def __init__(self, what: str, max_bytes: int, max_files: int) -> None:
        self.what, self.max_bytes, self.max_files = what, max_bytes, max_files
        self.bytes = self.files = 0

    def add(self, member: tarfile.TarInfo) -> None:
        self.files += 1
        self.bytes += member.size if member.isreg() else 0
        if self.files > self.max_files:
            raise BadInput(
                f"{self.what} has more than {self.max_files} files",
                hint="exclude what the app does not need (.roostignore)",
            )
        if self.bytes > self.max_bytes:
            raise self.too_big()

    def too_big(self) -> BadInput:
        return BadInput(
            f"{self.what} unpacks to more than {self.max_bytes} bytes",
            hint="exclude what the app does not need (.roostignore)",
        )


def _unpack(stream: ByteStream, place: Callable[[tarfile.TarInfo, IO[bytes] | None], None], tally: _Tally) -> Unpacked:
    """Hand each member to `place`, with bounds and digests; then read the stream to its end."""
    room = tally.max_bytes + tally.max_files * _HEADER_BYTES + (1 << 20)
    outer = Digesting(stream, room, tally.too_big)
    inner = Digesting(decompressed(outer), room, tally.too_big)
    for member, content in members(inner, what=tally.what):
        tally.add(member)
        try:
            place(member, content)
        except OSError as error:
            raise _explain(error, member.name, tally.what) from None
    inner.drain()
    outer.drain()
    return Unpacked(outer.digest, inner.digest, tally.files, tally.bytes)


def _explain(error: OSError, name: str, what: str) -> BadInput | HostFailure | InsufficientCapacity:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InsufficientCapacity(f"no space left while unpacking {what}", hint=FREE_SPACE)
    reasons = {
        errno.ELOOP: "it lies behind a link",
        errno.EXDEV: "it leads outside",
        errno.ENOTDIR: "it lies below something that is not a directory",
        errno.ENOENT: "it links to a file that is not there",
        errno.ENAMETOOLONG: "its name is too long",
        errno.EINVAL: "its name is not allowed",
        errno.EISDIR: "a directory is in its place",
    }
    if error.errno in reasons:
        return BadInput(f"{_shown(name)} in {what} can't be unpacked: {reasons[error.errno]}")
    return HostFailure(f"unpacking {what} failed at {_shown(name)}: {error.strerror}")


def _shown(name: str) -> str:
    return repr(name if len(name) <= 120 else f"{name[:117]}...")


def _parts(name: str, what: str) -> tuple[str, ...]:
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in name:
        raise BadInput(f"{_shown(name)} in {what} leads outside of it")
    return parts


def _place_source_member(tree: Beneath, member: tarfile.TarInfo, content: IO[bytes] | None, links: list[str]) -> None:
    if member.name.startswith("/"):
        raise BadInput(f"{_shown(member.name)} in the source is an absolute path")
    parts = _parts(member.name, "the source")
    there = tree.kind(parts) if parts else stat.S_IFDIR
    if there and (there == stat.S_IFDIR) != member.isdir():
        raise BadInput(f"{_shown(member.name)} in the source is both a directory and something else")
    if member.isdir():
        tree.make_directory(parts)
        tree.own(parts, 0, 0, 0o755, member.mtime)
    elif member.isreg() and content is not None and not member.issparse():
        _write(tree.create_file(parts), content)
        tree.own(parts, 0, 0, 0o755 if member.mode & 0o111 else 0o644, member.mtime)
    elif member.issym():
        if member.linkname.startswith("/"):
            raise BadInput(f"{_shown(member.name)} in the source links to an absolute path", hint="use a relative link")
        tree.symlink(parts, member.linkname)
        links.append("/".join(parts))
    elif member.islnk():
        tree.hard_link(parts, _parts(member.linkname, "the source") or (".",))
    else:
        raise BadInput(f"{_shown(member.name)} in the source is not a file, a directory or a link")


def _write(fd: int, content: IO[bytes]) -> None:
    with os.fdopen(fd, "wb", buffering=0) as file:
        while chunk := content.read(_CHUNK):
            file.write(chunk)


class _LayerWriter:
    """Places one layer's members. Whiteouts concern the layers below only, so it knows what this one brought."""

    def __init__(self, tree: Beneath, overlay: bool) -> None:
        self._tree, self._overlay = tree, overlay
        self._brought: set[tuple[str, ...]] = set()

    def place(self, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        parts = _parts(member.name, "the layer")
        if parts and parts[-1].startswith(_WHITEOUT):
            self._hide(parts)
            return
        if member.isdir():
            self._tree.make_directory(parts)
        elif not parts:
            raise BadInput("the layer's root is not a directory")
        elif member.issym():
            self._tree.symlink(parts, member.linkname)
        elif member.islnk():
            self._tree.hard_link(parts, _parts(member.linkname, "the layer") or (".",))
        elif member.isreg() and content is not None and not member.issparse():
            _write(self._tree.create_file(parts), content)
        elif member.ischr() or member.isblk() or member.isfifo():
            return
        else:
            raise BadInput(f"{_shown(member.name)} in the layer is of a kind that is not supported")
        self._brought.update(parts[:length] for length in range(len(parts) + 1))
        if not member.islnk():
            mode = None if member.issym() else member.mode & 0o7777
            self._tree.own(parts, _clamped(member.uid), _clamped(member.gid), mode, member.mtime)

    def _hide(self, parts: tuple[str, ...]) -> None:
        *above, name = parts
        directory = tuple(above)
        if name == _OPAQUE:
            self._hide_all(directory)
        elif name.startswith(".wh..wh."):
            return  # aufs's own files mean nothing here
        else:
            hidden = (*directory, name[len(_WHITEOUT) :])
            if hidden[-1] in ("", ".", ".."):
                raise BadInput(f"{_shown('/'.join(parts))} in the layer is not a whiteout")
            if hidden in self._brought:
                return
            if self._overlay:
                self._tree.whiteout(hidden)
            else:
                self._tree.remove(hidden)

    def _hide_all(self, directory: tuple[str, ...]) -> None:
        if self._overlay:
            os.setxattr(self._tree.directory(directory), "trusted.overlay.opaque", b"y")
            return
        for name in self._tree.names(directory):
            self._clear((*directory, name))

    def _clear(self, parts: tuple[str, ...]) -> None:
        """Remove what the layers below brought at or under this path, and keep what this layer brought."""
        if parts not in self._brought:
            self._tree.remove(parts)
        elif self._tree.kind(parts) == stat.S_IFDIR:
            for name in self._tree.names(parts):
                self._clear((*parts, name))


def _clamped(number: int) -> int:
    return number if 0 <= number <= _LAST_ID else _NOBODY
