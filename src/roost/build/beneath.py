"""Writing files below a directory that may hold hostile links: nothing is ever made outside of it.

Each parent directory is opened by openat2(2) relative to the root: the kernel itself refuses to leave
it, so a link planted earlier in the same archive leads nowhere. Two manners: `follow_links=False`
(source trees) refuses any symlink on the way; `follow_links=True` (image layers) follows them as if the
root were `/`, as container engines do. Owns the file descriptors of the root and of the latest parent.
Half-way failures leave a partial tree: callers write into a directory that they throw away or rename.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
from types import TracebackType

_SYS_OPENAT2 = 437  # the same on every architecture
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x02, 0x04, 0x08, 0x10
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """Call openat2(2); raises OSError (EXDEV: the path leaves the directory, ELOOP: a link on the way)."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    raw = ctypes.c_char_p(os.fsencode(path))
    for _ in range(64):  # EAGAIN: a rename elsewhere made the kernel unsure
        fd = _libc.syscall(_SYS_OPENAT2, directory, raw, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
        if fd >= 0:
            return int(fd)
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def leads_outside(root: int, path: str) -> bool:
    """Return whether following the symlink at `path` would leave the root. A dangling link does not."""
    try:
        os.close(openat2(root, path, os.O_PATH, _BENEATH | _NO_MAGICLINKS))
    except OSError as error:
        return error.errno == errno.EXDEV
    return False


def open_plain(directory: int, path: str) -> int:
    """Open a regular file below a directory for reading, over no link; raises OSError for anything else."""
    fd = openat2(directory, path, os.O_RDONLY | os.O_NONBLOCK, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return fd


class Beneath:
    """A directory to write into. Paths are tuples of names, already free of "", "." and ".."."""

    def __init__(self, root: str | os.PathLike[str], *, follow_links: bool) -> None:
        self.root = os.open(root, _DIRECTORY)
        self._resolve = _NO_MAGICLINKS | (_IN_ROOT if follow_links else _BENEATH | _NO_SYMLINKS)
        self._cached: tuple[tuple[str, ...], int] | None = None

    def __enter__(self) -> Beneath:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()
        os.close(self.root)

    def forget(self) -> None:
        """Drop the cached parent, because a directory may have been replaced."""
        if self._cached is not None:
            os.close(self._cached[1])
            self._cached = None

    def directory(self, parts: tuple[str, ...], *, create: bool = True) -> int:
        """Return a descriptor of a directory, making it and its parents if missing. Valid until the next call."""
        if not parts:
            return self.root
        if self._cached is not None and self._cached[0] == parts:
            return self._cached[1]
        fd = self._open(parts, create)
        self.forget()
        self._cached = (parts, fd)
        return fd

    def _open(self, parts: tuple[str, ...], create: bool) -> int:
        path = "/".join(parts)
        try:
            return openat2(self.root, path, _DIRECTORY, self._resolve)
        except FileNotFoundError:
            if not create:
                raise
        above = self._open(parts[:-1], create) if len(parts) > 1 else os.dup(self.root)
        try:
            os.mkdir(parts[-1], 0o755, dir_fd=above)
        except FileExistsError:  # a dangling symlink: nothing can be made behind it
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
        finally:
            os.close(above)
        return openat2(self.root, path, _DIRECTORY, self._resolve)

    def kind(self, parts: tuple[str, ...]) -> int:
        """Return the file type bits of what is there, itself if it is a link; 0 for nothing."""
        try:
            return stat.S_IFMT(os.lstat(parts[-1], dir_fd=self.directory(parts[:-1], create=False)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def names(self, parts: tuple[str, ...]) -> list[str]:
        """Return the names in a directory; none when it is missing."""
        try:
            return os.listdir(self.directory(parts, create=False))  # noqa: PTH208  (by descriptor)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove(self, parts: tuple[str, ...]) -> None:
        """Remove whatever is there, a whole directory included; nothing there is fine."""
        try:
            parent = self.directory(parts[:-1], create=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            os.unlink(parts[-1], dir_fd=parent)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            shutil.rmtree(parts[-1], dir_fd=parent)
        self.forget()

    def make_directory(self, parts: tuple[str, ...]) -> None:
        """Make a directory in place of anything else that is there; an existing one stays as it is."""
        if not parts or self.kind(parts) == stat.S_IFDIR:
            return
        self.remove(parts)
        os.mkdir(parts[-1], 0o755, dir_fd=self.directory(parts[:-1]))

    def create_file(self, parts: tuple[str, ...]) -> int:
        """Return a descriptor of a new empty file, in place of whatever was there."""
        self.remove(parts)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(parts[-1], flags, 0o600, dir_fd=self.directory(parts[:-1]))

    def symlink(self, parts: tuple[str, ...], target: str) -> None:
        """Make a symlink in place of whatever was there."""
        self.remove(parts)
        os.symlink(target, parts[-1], dir_fd=self.directory(parts[:-1]))

    def hard_link(self, parts: tuple[str, ...], existing: tuple[str, ...]) -> None:
        """Give a regular file (never a link's target) a second name; raises FileNotFoundError."""
        source = os.dup(self.directory(existing[:-1], create=False))
        try:
            if not stat.S_ISREG(os.lstat(existing[-1], dir_fd=source).st_mode):
                raise FileNotFoundError(errno.ENOENT, "not a regular file", "/".join(existing))
            if parts == existing:
                return
            self.remove(parts)
            os.link(
                existing[-1], parts[-1], src_dir_fd=source, dst_dir_fd=self.directory(parts[:-1]), follow_symlinks=False
            )
        finally:
            os.close(source)

    def whiteout(self, parts: tuple[str, ...]) -> None:
        """Put overlayfs's mark that the name is gone from the layers below."""
        self.remove(parts)
        os.mknod(parts[-1], stat.S_IFCHR | 0o600, os.makedev(0, 0), dir_fd=self.directory(parts[:-1]))

    def own(self, parts: tuple[str, ...], uid: int, gid: int, mode: int | None, mtime: float) -> None:
        """Set owner, permissions (None for a symlink, which has none) and time of what is there, itself if a link."""
        parent = self.directory(parts[:-1])
        name = parts[-1] if parts else "."
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        if mode is not None:
            # chmod has no way of its own not to follow a link; the caller has just made this name.
            os.chmod(name, mode, dir_fd=parent)
        with contextlib.suppress(OverflowError, OSError):
            os.utime(name, (mtime, mtime), dir_fd=parent, follow_symlinks=False)
