"""Mounts by system call: plain, idmapped and overlay.

It owns no state; the kernel's mount table is the state. Invariants: a call either leaves the finished
mount or none (an idmapped clone is attached only once its mapping is set); unmounting what is not
mounted is no error, so every undo may run twice. All mounts are made below a private mount, so none
spreads into another namespace. After a kill in the middle, `mounts_below` finds what was left.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from roost.model.errors import HostFailure

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_NOATIME = 1024
MS_BIND = 4096
MS_REC = 16384
_MS_REMOUNT = 32
MS_PRIVATE = 1 << 18

# One number on all architectures (asm-generic/unistd.h)
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY = 0x00000001
_MOUNT_ATTR_IDMAP = 0x00100000
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_OPTIONS_LIMIT = 4095  # mount(2) takes one page

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def mount(source: str, target: Path, fstype: str, flags: int = 0, options: str = "") -> None:
    """Mount a file system; raises OSError."""
    result = _libc.mount(
        source.encode(), os.fsencode(target), fstype.encode(), ctypes.c_ulong(flags), options.encode() or None
    )
    if result:
        _fail(target)


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Show `source` at `target`, which must exist and be of the same kind; raises OSError.

    Made read-only in a second step: when that fails, or a kill comes between, the plain bind is there.
    """
    if _libc.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(MS_BIND), None):
        _fail(target)
    flags = ctypes.c_ulong(MS_BIND | _MS_REMOUNT | MS_RDONLY)
    if read_only and _libc.mount(None, os.fsencode(target), None, flags, None):
        _fail(target)


def make_private(target: Path) -> None:
    """Keep mounts below `target` from spreading into other mount namespaces; raises OSError."""
    if _libc.mount(None, os.fsencode(target), None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None):
        _fail(target)


def unmount(target: Path) -> None:
    """Take the mounts at `target` away, also while they are used; nothing mounted there is no error."""
    for _ in range(32):
        if _libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW):
            if ctypes.get_errno() in (errno.EINVAL, errno.ENOENT):
                return
            _fail(target)
    raise HostFailure(f"{target} is still a mount point after 32 unmounts")


def syncfs(fd: int) -> None:
    """Write out the file system that `fd` is on; raises OSError."""
    if _libc.syncfs(fd):
        _fail(Path(f"/proc/self/fd/{fd}"))


def bind_idmapped(source: Path, target: Path, userns: int, *, read_only: bool = False) -> int:
    """Show `source` at `target` with its ids mapped by the user namespace open at `userns`.

    Returns a descriptor of the mount (O_PATH), which stays good when the mount is detached; the caller
    closes it. Raises OSError: EINVAL when the file system can't be idmapped.
    """
    fd = detached(source)
    try:
        attributes = _MOUNT_ATTR_IDMAP | (_MOUNT_ATTR_RDONLY if read_only else 0)
        packed = struct.pack("=QQQQ", attributes, 0, MS_PRIVATE, userns)
        _syscall(_SYS_MOUNT_SETATTR, fd, b"", _AT_EMPTY_PATH, packed, len(packed), path=source)
        attach(fd, target)
    except BaseException:
        os.close(fd)
        raise
    return fd


def overlay(
    target: Path, lower: Sequence[int], upper: int | None = None, *, upper_name: str = "", work_name: str = ""
) -> None:
    """Mount an overlay: `lower` are descriptors of directories, lowest first, `upper` one of their writable peer.

    `upper_name` and `work_name` are directories below `upper`; without it, nothing can be written. Descriptors in
    place of paths keep 127 layers within the page that mount(2) takes. Raises OSError.
    """
    layers = ":".join(f"/proc/self/fd/{fd}" for fd in reversed(lower))
    options = f"lowerdir={layers}"
    if upper is not None:
        base = f"/proc/self/fd/{upper}"
        options += f",upperdir={base}/{upper_name},workdir={base}/{work_name}"
    if len(options) > _OPTIONS_LIMIT:
        raise HostFailure(
            f"the image has {len(lower)} layers, more than one mount takes", hint="squash the image's layers"
        )
    mount("overlay", target, "overlay", 0, options)


def detached(point: Path) -> int:
    """Return a descriptor (O_PATH) of a copy of the mount that `point` is on, which is nowhere in the mount table.

    It lives as long as the descriptor, or where `attach` puts it; the caller closes it. Raises OSError.
    """
    return _syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(point), _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC, path=point)


def attach(mount_fd: int, target: Path) -> None:
    """Mount what `detached` gave at `target`; raises OSError."""
    _syscall(_SYS_MOVE_MOUNT, mount_fd, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH, path=target)


def mounts_below(*roots: Path) -> list[Path]:
    """Return the mount points at or below `roots`, innermost and latest first."""
    beginnings = tuple(f"{str(root).rstrip('/')}/" for root in roots)
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        point = _unescape(line.split(" ", 5)[4])
        if f"{point}/".startswith(beginnings):  # text, not Path: each start looks through all of the host's mounts
            found.append(Path(point))
    return found[::-1]


def _unescape(text: str) -> str:
    """Undo the octal escapes of blanks in mountinfo (proc(5))."""
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escaped, plain)
    return text


def _syscall(number: int, *arguments: int | bytes, path: Path) -> int:
    converted = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    result = _libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        _fail(path)
    return int(result)


def _fail(path: Path) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), str(path))
