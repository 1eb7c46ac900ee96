"""Files that a machine finds at its start: ordinary ones in its root, secret ones from memory.

State: ordinary files in the machine's writable layer; secret ones below its run directory, which is memory, from
where they are shown at their path. An image is hostile: every step to a file is resolved by the kernel as if the
root were `/` (openat2 with RESOLVE_IN_ROOT), the last name is never followed, and it all is done as the machine's own
root, who is nobody on the host and can't write where that one can't. Writing twice gives the same file.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from roost.host.contract import BindMount, MachineSpec
from roost.host.namespaces import uid_base
from roost.host.users import open_in_root
from roost.model.errors import BadInput, HostFailure, RoostError, out_of_space

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


def write(spec: MachineSpec, root: Path) -> None:
    """Write the machine's ordinary files into its mounted root; raises BadInput for a path that can't be had."""
    plain = [file for file in spec.files if not file.secret]
    if not plain:
        return
    with _as_user(uid_base(spec.slot)):
        top = os.open(root, _DIRECTORY)
        try:
            for file in plain:
                try:
                    _write_one(top, file.target, file.content, file.mode)
                except OSError as error:
                    raise _explain(spec, file.target, error) from None
        finally:
            os.close(top)


def secret_binds(spec: MachineSpec, place: Path) -> tuple[BindMount, ...]:
    """Write the machine's secret files below `place`, in memory; returns how they are to be shown."""
    binds = []
    for number, file in enumerate(spec.files):
        if file.secret:
            source = place / str(number)
            source.unlink(missing_ok=True)
            fd = os.open(source, _NEW, 0o600)
            with os.fdopen(fd, "wb") as out:
                out.write(file.content)
                os.fchmod(out.fileno(), file.mode)
            binds.append(BindMount(source, file.target, read_only=True))
    return tuple(binds)


def _write_one(top: int, target: str, content: bytes, mode: int) -> None:
    *above, name = target.strip("/").split("/")
    parent = _directory(top, above)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
        fd = os.open(name, _NEW, 0o600, dir_fd=parent)
        with os.fdopen(fd, "wb") as out:
            out.write(content)
            os.fchmod(out.fileno(), mode)
    finally:
        os.close(parent)


def _directory(top: int, parts: list[str]) -> int:
    """Open a directory below the root, and make what is missing of the way to it."""
    if not parts:
        return os.dup(top)
    path = "/".join(parts)
    try:
        return open_in_root(top, path, _DIRECTORY)
    except FileNotFoundError:
        above = _directory(top, parts[:-1])
    try:
        os.mkdir(parts[-1], 0o755, dir_fd=above)
    except FileExistsError:  # a link that leads nowhere: nothing can be made behind it
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
    finally:
        os.close(above)
    return open_in_root(top, path, _DIRECTORY)


@contextlib.contextmanager
def _as_user(uid: int) -> Iterator[None]:
    """Let this thread, and no other, deal with files as somebody else."""
    try:
        _libc.setfsgid(uid)
        _libc.setfsuid(uid)
        if _libc.setfsuid(-1) != uid:
            raise HostFailure("this process can't act as another user", hint="roostd needs CAP_SETUID")
        yield
    finally:
        _libc.setfsuid(0)
        _libc.setfsgid(0)


def _explain(spec: MachineSpec, target: str, error: OSError) -> RoostError:
    if error.errno == errno.ENOSPC:
        return BadInput(f"files: no space for {target[:80]!r} in the machine's root", hint="make rootfs.size_gb larger")
    if error.errno in (
        errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS,
        errno.EINVAL, errno.ENAMETOOLONG, errno.EEXIST,
    ):  # fmt: skip
        return BadInput(
            f"files: can't write {target[:80]!r} in the image: {error.strerror}",
            hint="choose a path whose directories are directories in the image",
        )
    return out_of_space(error) or HostFailure(f"can't write the files of machine {spec.id}: {error.strerror}")
