"""The pool, and the disks on it.

State: HOME/pool.img with an XFS on it, mounted at HOME/pool; below that `disks/MACHINE.img`, each a
sparse file cloned from a formatted template and mounted through a loop device while in use, and
`templates/`. Invariants: a disk never grows beyond its size; a template is complete (it is renamed into
place); a loop device exists only while its disk is mounted (autoclear). Every call may run twice. After
a kill half-way a disk is there or not; `remove` takes it away in either case.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from pathlib import Path

from roost.host import loop, mounts
from roost.host.process import run
from roost.model.cloud import Cloud
from roost.model.errors import FREE_SPACE, HostFailure, InsufficientCapacity, RoostError

_GB = 1 << 30
_FICLONE = 0x40049409
_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN
_DROP_DIRTY = 2  # neither log nor data is flushed
_TEMPORARY = ".temporary"
_POOL_SHARE = 0.6
_POOL_MIN = 2 * _GB
_MKFS_TIMEOUT = 120.0

# Mounting must do nothing but mount: no journal to make, no inode tables to write, no blocks kept for root.
_MKFS_DISK = ("-q", "-F", "-m", "0", "-I", "256", "-i", "32768", "-b", "4096", "-O", "^has_journal,^resize_inode")
_MKFS_EXTENDED = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0"
_FLAGS = mounts.MS_NOATIME | mounts.MS_NODEV | mounts.MS_NOSUID
_MOUNT_OPTIONS = "noinit_itable,discard"  # what a machine deletes goes back to the pool


class Disks:
    """The pool of one cloud. `pool_bytes`: size of a new pool; None: 60 % of what is free, at least 2 GB."""

    def __init__(self, cloud: Cloud, *, pool_bytes: int | None = None) -> None:
        self._cloud = cloud
        self._pool = cloud.pool
        self._image = cloud.home / "pool.img"
        self._pool_bytes = pool_bytes
        self._disks = cloud.pool / "disks"
        self._templates = cloud.pool / "templates"

    def ensure_pool(self) -> None:
        """Make the pool if there is none, and mount it; raises InsufficientCapacity or HostFailure."""
        if not self._pool.is_mount():
            self._image.parent.mkdir(parents=True, exist_ok=True)
            if not self._image.exists():
                self._make_pool()
            self._pool.mkdir(mode=0o700, exist_ok=True)
            device, path = loop.attach(self._image, direct_io=True)
            try:
                mounts.mount(path, self._pool, "xfs", mounts.MS_NOATIME, "discard")
                mounts.make_private(self._pool)
            except OSError as error:
                raise HostFailure(
                    f"can't mount the pool {self._image}: {error.strerror}",
                    hint="check that the kernel has XFS; `xfs_repair` mends a damaged image",
                ) from None
            finally:
                os.close(device)
        for directory in (self._disks, self._templates):
            directory.mkdir(mode=0o700, exist_ok=True)

    def remove_pool(self) -> None:
        """Unmount the pool and delete it with all that is on it."""
        for point in mounts.mounts_below(self._pool):
            mounts.unmount(point)
        self._image.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._pool.rmdir()

    def create(self, machine_id: str, size_gb: int) -> Path:
        """Make an empty disk of `size_gb` in place of the one that may be there; returns its image."""
        image = self.image(machine_id)
        image.unlink(missing_ok=True)
        try:
            self.clone_template(size_gb, image)
        except OSError as error:
            raise explain(self._cloud, error, f"make a disk for machine {machine_id}") from None
        return image

    def clone_template(self, size_gb: int, image: Path) -> None:
        """Make an empty disk at `image`, which must not exist; raises OSError and leaves nothing then."""
        template = self._template(size_gb)
        try:
            clone(template, image)
        except OSError:
            image.unlink(missing_ok=True)
            raise

    def mount(self, machine_id: str, target: Path) -> None:
        """Mount a machine's disk at `target`, which must exist; raises InsufficientCapacity or HostFailure."""
        try:
            self.mount_image(self.image(machine_id), target)
        except OSError as error:
            raise explain(self._cloud, error, f"mount the disk of machine {machine_id}") from None

    def mount_image(self, image: Path, target: Path) -> None:
        """Mount a disk's image at `target`; raises OSError, or InsufficientCapacity when there is no loop device."""
        device, path = loop.attach(image)
        try:
            mounts.mount(path, target, "ext4", _FLAGS, _MOUNT_OPTIONS)
        finally:
            os.close(device)

    def abandon(self, target: Path) -> None:
        """Unmount a disk that is going to be deleted: what was not written to it yet never will be."""
        with contextlib.suppress(OSError):  # a kernel that can't: the unmount writes it all, and takes longer
            fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, _SHUTDOWN, _DROP_DIRTY.to_bytes(4, sys.byteorder))
            finally:
                os.close(fd)
        mounts.unmount(target)

    def detach(self, target: Path) -> None:
        """Write out a disk that is to be kept, and unmount it."""
        with contextlib.suppress(OSError):
            fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                mounts.syncfs(fd)
            finally:
                os.close(fd)
        mounts.unmount(target)

    def image(self, machine_id: str) -> Path:
        """Return where a machine's disk is, or would be."""
        return self._disks / f"{machine_id}.img"

    def mount_temporary(self, machine_id: str, name: str, storage: str, size_mb: int, target: Path) -> None:
        """Mount an empty directory of `size_mb` that all may write to, on disk or in memory; it goes with the disk.

        Raises InsufficientCapacity or HostFailure.
        """
        image = self._disks / f"{machine_id}.{name}{_TEMPORARY}"
        try:
            if storage == "memory":
                options = f"size={size_mb}m,mode=0777"
                mounts.mount("tmpfs", target, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, options)
                return
            image.unlink(missing_ok=True)
            with image.open("xb") as file:
                image.chmod(0o600)
                file.truncate(size_mb << 20)
            run(["mkfs.ext4", *_MKFS_DISK, "-E", _MKFS_EXTENDED, str(image)], timeout=_MKFS_TIMEOUT)
            self.mount_image(image, target)
            target.chmod(0o777)
        except OSError as error:
            raise explain(self._cloud, error, f"make the volume {name} of machine {machine_id}") from None

    def remove(self, machine_id: str) -> None:
        """Delete a machine's disks, whose mounts must be gone; none there is no error."""
        self.image(machine_id).unlink(missing_ok=True)
        self.remove_temporary(machine_id)

    def remove_temporary(self, machine_id: str) -> None:
        """Delete what `mount_temporary` made for a machine, whose mounts must be gone; none there is no error."""
        if self._disks.is_dir():
            for image in self._disks.glob(f"{machine_id}.*{_TEMPORARY}"):
                image.unlink(missing_ok=True)

    def machines(self) -> list[str]:
        """Return the ids of the machines that have a disk."""
        return [path.stem for path in self._disks.glob("*.img")] if self._disks.is_dir() else []

    def used(self, machine_id: str) -> int:
        """Return the bytes that a machine's disk takes of the pool; shared blocks count in full."""
        try:
            return self.image(machine_id).stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def usage(self) -> tuple[int, int]:
        """Return (used, total) bytes of the pool."""
        return pool_usage(self._cloud)

    def prepare_template(self, size_gb: int) -> None:
        """Make the template of a size now, so that the first machine of that size need not wait."""
        self._template(size_gb)

    def _template(self, size_gb: int) -> Path:
        template = self._templates / f"ext4-{size_gb}.img"
        if template.exists():
            return template
        draft = self._templates / f".ext4-{size_gb}.{os.urandom(4).hex()}"
        try:
            with draft.open("xb") as file:
                file.truncate(size_gb * _GB)
            run(["mkfs.ext4", *_MKFS_DISK, "-E", _MKFS_EXTENDED, str(draft)], timeout=_MKFS_TIMEOUT)
            draft.rename(template)
        except OSError as error:
            raise explain(self._cloud, error, f"make a disk of {size_gb} GB") from None
        finally:
            draft.unlink(missing_ok=True)
        return template

    def _make_pool(self) -> None:
        free = os.statvfs(self._image.parent)
        available = free.f_bavail * free.f_frsize
        size = self._pool_bytes or max(_POOL_MIN, int(available * _POOL_SHARE))
        if size > available:
            raise InsufficientCapacity(
                f"the pool needs {size / _GB:.1f} GB and {self._image.parent} has {available / _GB:.1f} GB free",
                hint="free some space or set a smaller pool",
            )
        draft = self._image.with_suffix(".new")
        try:
            with draft.open("wb") as file:
                draft.chmod(0o600)
                file.truncate(size // 4096 * 4096)
            run(["mkfs.xfs", "-q", "-f", "-K", "-s", "size=4096", "-m", "reflink=1", str(draft)], timeout=_MKFS_TIMEOUT)
            draft.rename(self._image)
        finally:
            draft.unlink(missing_ok=True)


def clone(source: Path, target: Path) -> None:
    """Make `target`, which must not exist, a copy of `source` that shares its blocks; raises OSError."""
    with source.open("rb") as original, target.open("xb") as copy:
        target.chmod(0o600)
        fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())


def pool_usage(cloud: Cloud) -> tuple[int, int]:
    """Return (used, total) bytes of a cloud's pool."""
    numbers = os.statvfs(cloud.pool)
    return (numbers.f_blocks - numbers.f_bfree) * numbers.f_frsize, numbers.f_blocks * numbers.f_frsize


def explain(cloud: Cloud, error: OSError, what: str) -> RoostError:
    """Return what to tell the user when the pool did not let `what` be done."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        used, total = pool_usage(cloud)
        return InsufficientCapacity(
            f"can't {what}: the pool is full ({used / _GB:.1f} of {total / _GB:.1f} GB)",
            hint=FREE_SPACE,
        )
    return HostFailure(f"can't {what}: {error.strerror}", hint="`roost doctor` checks the pool")
