"""Who a machine's process is: a user as written, resolved in the image's own passwd and group files.

Stateless. An image is hostile: its files are opened without ever leaving its root (openat2 with
RESOLVE_IN_ROOT), must be regular, and are read up to a limit.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from roost.model.errors import BadInput

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_LIMIT = 1 << 20
_TRIES = 256
_NOT_THERE = (
    errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENXIO, errno.EXDEV, errno.EAGAIN, errno.ENAMETOOLONG,
)  # fmt: skip
_IDS = 65536

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True, slots=True)
class User:
    """A resolved user. `home` is what $HOME should be when nothing else sets it."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/root"


def resolve_user(text: str, passwd: str, group: str) -> User:
    """Resolve "", name, uid, name:group or uid:gid (pure); raises BadInput.

    As in the field: a name must be in `passwd`; a number need not be, and takes its group and home from
    `passwd` if it is. Supplementary groups are those that name the user, unless a group was given.
    """
    name, colon, group_name = (text or "0").partition(":")
    entry = next((e for e in _entries(passwd, 7) if name in (e[0], e[2]) and _is_id(e[2]) and _is_id(e[3])), None)
    if entry is not None:
        uid, gid, home = int(entry[2]), int(entry[3]), entry[5] or "/"
    elif _is_id(name):
        uid, gid, home = int(name), 0, "/root" if name == "0" else "/"
    else:
        raise BadInput(
            f"the image has no user {name[:80]!r}", hint="name a user of the image's /etc/passwd, or use a number"
        )
    if not colon:
        names = {entry[0]} if entry is not None else set()
        groups = [int(e[2]) for e in _entries(group, 4) if _is_id(e[2]) and names & set(e[3].split(","))]
        return User(uid, gid, tuple(sorted({*groups} - {gid})), home)
    row = next((e for e in _entries(group, 4) if group_name in (e[0], e[2]) and _is_id(e[2])), None)
    if row is not None:
        return User(uid, int(row[2]), (), home)
    if _is_id(group_name):
        return User(uid, int(group_name), (), home)
    raise BadInput(
        f"the image has no group {group_name[:80]!r}", hint="name a group of the image's /etc/group, or use a number"
    )


def read_user(root: Path, text: str) -> User:
    """Resolve a user in the tree at `root`; raises BadInput."""
    if text in ("", "0", "0:0"):
        return User()
    return resolve_user(text, read_inside(root, "etc/passwd"), read_inside(root, "etc/group"))


def read_inside(root: Path, path: str) -> str:
    """Return the text of a regular file below `root`, which no link can leave; "" when there is none."""
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = open_in_root(directory, path)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return ""
        raise
    finally:
        os.close(directory)
    try:
        return os.read(fd, _LIMIT).decode(errors="replace") if stat.S_ISREG(os.fstat(fd).st_mode) else ""
    finally:
        os.close(fd)


def open_in_root(
    directory: int, path: str, flags: int = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
) -> int:
    """Open what is below a directory as if that were `/`; raises OSError. A FIFO or a device doesn't hold us up."""
    how = struct.pack("=QQQ", flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_TRIES):  # EAGAIN: what was renamed meanwhile leaves the kernel unsure whether `..` led outside
        fd = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2), ctypes.c_long(directory), path.encode(), how, ctypes.c_long(len(how))
        )
        if fd >= 0:
            return int(fd)
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def _entries(text: str, fields: int) -> list[list[str]]:
    rows = (line.split(":") for line in text.splitlines())
    return [row for row in rows if len(row) >= fields]


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6 and int(text) < _IDS
