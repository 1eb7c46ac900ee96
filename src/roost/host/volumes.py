"""Volumes and their snapshots: images on the pool that live until somebody destroys them.

State: `pool/volumes/VOLUME.img` and `pool/snapshots/SNAPSHOT.img`, sparse files with an ext4 (with a journal) in
each; a volume in use is mounted at RUN/m/MACHINE/volumes/VOLUME. Invariants: an image is whole (it is made under
another name and renamed into place); one image is never behind two loop devices; one lock per volume keeps taking a
copy apart from mounting and unmounting, so that no copy is torn; a copy of a mounted volume is made while its file
system is frozen, and it is thawed whatever happens. A roostd that was killed in between leaves it frozen: `mend`,
which the next one calls first, thaws, and finishes an extension; releasing a machine thaws as well. What was
half-made has another name and goes at the next `mend`; nothing else is ever removed but by `destroy`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from roost.host import loop, mounts
from roost.host.disks import clone, explain
from roost.host.machine_files import directory
from roost.host.process import run
from roost.model.cloud import Cloud
from roost.model.errors import Conflict, FailedPrecondition, HostFailure, NotFound
from roost.model.volume import Usage, check_snapshot_id, check_volume_id

_GB = 1 << 30
_BLOCK = 4096
_FIFREEZE = 0xC0045877
_FITHAW = 0xC0045878
_EXT4_RESIZE = 0x40086610  # EXT4_IOC_RESIZE_FS, what resize2fs calls
_MKFS_TIMEOUT = 120.0
_CHECK_TIMEOUT = 600.0
_E2FSCK_MENDED = 1  # what it ends with when it put something right (e2fsck(8))
_RELEASE_TIMEOUT = 20.0  # seconds for the last user of an image to write it out and go
_MKFS = (
    "-q",
    "-F",
    "-m",
    "0",
    "-I",
    "256",
    "-b",
    "4096",
    "-E",
    "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
)
_FLAGS = mounts.MS_NOATIME | mounts.MS_NODEV | mounts.MS_NOSUID
_OPTIONS = "noinit_itable,discard,errors=remount-ro"
_DRAFT = re.compile(r"\..*\.[0-9a-f]{8}")
_SUPERBLOCK = 1024


class Volumes:
    """The volumes of one cloud. `faults` is called with the name of each step before it begins."""

    def __init__(self, cloud: Cloud, faults: Callable[[str], None]) -> None:
        self._cloud = cloud
        self._faults = faults
        self._volumes = cloud.pool / "volumes"
        self._snapshots = cloud.pool / "snapshots"
        self._templates = cloud.pool / "templates"
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)

    def mend(self) -> None:
        """Make the places, and put right what a killed roostd left: thaw, finish extensions, remove drafts."""
        self.thaw_all()
        for place in (self._volumes, self._snapshots):
            place.mkdir(mode=0o700, exist_ok=True)
            for path in place.iterdir():
                if _DRAFT.fullmatch(path.name):
                    path.unlink(missing_ok=True)
        for volume_id, point in self._mounted().items():
            with self._holding(volume_id):
                self._grow_mounted(volume_id, point)

    def thaw_all(self) -> None:
        """Thaw every mounted volume that is frozen; to be called when nobody takes a copy."""
        for point in self._mounted().values():
            _thaw(point)

    # Making and removing

    def create(self, volume_id: str, size_gb: int, *, snapshot_id: str = "", source_id: str = "") -> None:
        """Make a volume: empty, or a copy of a snapshot or of another volume. One that is there is only extended."""
        with self._holding(volume_id):
            if not self._image(volume_id).exists():
                if snapshot_id:
                    self._copy(self._snapshot(snapshot_id), self._image(volume_id))
                elif source_id:
                    with self._holding(source_id), self._still(source_id) as source:
                        self._copy(source, self._image(volume_id))
                else:
                    self._copy(self._template(size_gb), self._image(volume_id))
            self._faults("host.volume.made")
            self.extend(volume_id, size_gb)

    def extend(self, volume_id: str, size_gb: int) -> bool:
        """Make a volume at least this large; False when its machine will see that at its next start only.

        Raises NotFound.
        """
        with self._holding(volume_id):
            image = self._present(volume_id)
            self._faults("host.volume.grow")
            if image.stat().st_size < size_gb * _GB:
                os.truncate(image, size_gb * _GB)
            self._faults("host.volume.resize")
            point = self._mounted().get(volume_id)
            if point is not None:
                return self._grow_mounted(volume_id, point)
            self._grow_at_rest(image)
            return True

    def destroy(self, volume_id: str) -> None:
        """Delete a volume for good; raises FailedPrecondition while it is mounted. None there is no error."""
        with self._holding(volume_id):
            if volume_id in self._mounted():
                raise FailedPrecondition(f"volume {volume_id} is in use", hint="destroy its machine first")
            self._faults("host.volume.destroy")
            self._image(volume_id).unlink(missing_ok=True)

    def snapshot(self, volume_id: str, snapshot_id: str) -> tuple[int, int]:
        """Keep what a volume holds now; returns the bytes in use and the volume's size. Twice is once."""
        target = self._snapshots / f"{check_snapshot_id(snapshot_id)}.img"
        with self._holding(volume_id):
            if not target.exists():
                with self._still(volume_id) as source:
                    self._copy(source, target)
            return _superblock(target).bytes_used, target.stat().st_size

    def destroy_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot; none there is no error."""
        self._faults("host.volume.destroy_snapshot")
        (self._snapshots / f"{check_snapshot_id(snapshot_id)}.img").unlink(missing_ok=True)

    def usage(self, volume_id: str) -> Usage:
        """Return how full a volume is; one that isn't mounted as it was when it last was."""
        point = self._mounted().get(check_volume_id(volume_id))
        if point is not None:
            with contextlib.suppress(OSError):
                numbers = os.statvfs(point)
                return Usage(numbers.f_frsize, numbers.f_blocks, numbers.f_bfree, numbers.f_bavail)
        return _superblock(self._present(volume_id))

    # In use by a machine

    def mount(self, volume_id: str, target: Path) -> None:
        """Mount a volume at `target`, which is made; raises NotFound, Conflict while another machine has it."""
        with self._holding(volume_id):
            self._present(volume_id)
            self._faults("host.volume.mount")
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._mount(volume_id, target)

    def release(self, place: Path) -> None:
        """Unmount the volumes below a machine's directory of volumes, thawed, with all that was written to them."""
        for point in sorted(place.iterdir()) if place.is_dir() else []:
            with self._holding(point.name):
                if point.is_mount():
                    _thaw(point)
                    self._faults("host.volume.unmount")
                    mounts.unmount(point)

    def thaw(self, place: Path) -> None:
        """Thaw the volumes of one machine that a killed roostd left frozen; waits for copies under way."""
        for point in place.iterdir() if place.is_dir() else []:
            with self._holding(point.name):
                if point.is_mount():
                    _thaw(point)

    # Parts

    @contextlib.contextmanager
    def _holding(self, volume_id: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks[check_volume_id(volume_id)]
        with lock:
            yield

    @contextlib.contextmanager
    def _still(self, volume_id: str) -> Iterator[Path]:
        """Give a volume's image while nothing changes it; the caller holds its lock."""
        image, point = self._present(volume_id), self._mounted().get(volume_id)
        if point is None:
            _wait_for_release(image)
            yield image
            return
        fd = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            mounts.syncfs(fd)  # most of it is written while others may write too: the freeze is the shorter
            self._faults("host.volume.freeze")
            try:
                fcntl.ioctl(fd, _FIFREEZE, 0)
            except OSError as error:
                if error.errno != errno.EBUSY:  # EBUSY: frozen already, by a roostd that is gone
                    raise explain(self._cloud, error, f"freeze volume {volume_id}") from None
            try:
                self._faults("host.volume.frozen")
                yield image
            finally:
                fcntl.ioctl(fd, _FITHAW, 0)
        finally:
            os.close(fd)

    def _copy(self, source: Path, target: Path) -> None:
        """Make `target` a copy of `source`; of no source, or half a one, nothing is left under its name."""
        draft = target.with_name(f".{target.stem}.{os.urandom(4).hex()}")
        try:
            clone(source, draft)
            self._faults("host.volume.copied")
            draft.rename(target)
        except OSError as error:
            raise explain(self._cloud, error, f"make {target.stem}") from None
        finally:
            draft.unlink(missing_ok=True)

    def _template(self, size_gb: int) -> Path:
        """Return a formatted image of a size, made when first needed."""
        template = self._templates / f"volume-{size_gb}.img"
        if template.exists():
            return template
        draft = self._templates / f".volume-{size_gb}.{os.urandom(4).hex()}"
        try:
            with draft.open("xb") as file:
                file.truncate(size_gb * _GB)
            run(["mkfs.ext4", *_MKFS, str(draft)], timeout=_MKFS_TIMEOUT)
            draft.rename(template)
        except OSError as error:
            raise explain(self._cloud, error, "make a volume") from None
        finally:
            draft.unlink(missing_ok=True)
        return template

    def _mount(self, volume_id: str, target: Path) -> None:
        image = self._image(volume_id)
        point = self._mounted().get(volume_id)
        if point is not None:
            raise Conflict(f"volume {volume_id} is in use by machine {point.parts[-3]}", hint="stop it first")
        _wait_for_release(image)
        self._grow_at_rest(image)
        try:
            device, path = loop.attach(image, direct_io=True)
            try:
                mounts.mount(path, target, "ext4", _FLAGS, _OPTIONS)
            finally:
                os.close(device)
        except OSError as error:
            raise explain(self._cloud, error, f"mount volume {volume_id}") from None

    def _grow_mounted(self, volume_id: str, point: Path) -> bool:
        """Let a mounted file system take all of its image, which may have been extended; False when it can't now."""
        image = self._image(volume_id)
        size = image.stat().st_size // _BLOCK
        if _superblock(image).blocks >= size:
            return True
        try:
            loop.refresh_size(image)
            fd = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, _EXT4_RESIZE, struct.pack("=Q", size))
                mounts.syncfs(fd)
            finally:
                os.close(fd)
        except PermissionError:  # the kernel wants CAP_SYS_RESOURCE, which some containers lack
            return False
        except OSError as error:
            raise explain(self._cloud, error, f"extend volume {volume_id}") from None
        return True

    def _grow_at_rest(self, image: Path) -> None:
        """Let an unmounted file system take all of its image: in a copy, so that a kill half-way damages nothing."""
        if _superblock(image).blocks >= image.stat().st_size // _BLOCK:
            return
        _wait_for_release(image)
        draft = image.with_name(f".{image.stem}.{os.urandom(4).hex()}")
        try:
            clone(image, draft)
            checked = run(["e2fsck", "-f", "-p", str(draft)], timeout=_CHECK_TIMEOUT, check=False)
            if checked.returncode > _E2FSCK_MENDED:
                said = checked.stdout.decode(errors="replace").strip()[-300:]
                raise HostFailure(f"the file system of {image.stem} is damaged: {said}")
            run(["resize2fs", str(draft)], timeout=_CHECK_TIMEOUT)
            self._faults("host.volume.resized")
            draft.rename(image)
        except OSError as error:
            raise explain(self._cloud, error, f"extend {image.stem}") from None
        finally:
            draft.unlink(missing_ok=True)

    def _mounted(self) -> dict[str, Path]:
        """Return where volumes are mounted for machines."""
        root = directory(self._cloud)
        found = {}
        for point in mounts.mounts_below(root):
            if point.parent.name == "volumes" and point.parent.parent.parent == root:
                found[point.name] = point
        return found

    def _image(self, volume_id: str) -> Path:
        return self._volumes / f"{check_volume_id(volume_id)}.img"

    def _present(self, volume_id: str) -> Path:
        image = self._image(volume_id)
        if not image.exists():
            raise NotFound(f"volume {volume_id} is not on this host", hint="`roost volumes list` shows the volumes")
        return image

    def _snapshot(self, snapshot_id: str) -> Path:
        image = self._snapshots / f"{check_snapshot_id(snapshot_id)}.img"
        if not image.exists():
            raise NotFound(f"snapshot {snapshot_id} is not on this host")
        return image


def _thaw(point: Path) -> None:
    """Thaw a file system; one that isn't frozen is no error."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _FITHAW, 0)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise HostFailure(f"can't thaw {point}: {error.strerror}") from None
        finally:
            os.close(fd)


def _wait_for_release(image: Path) -> None:
    """Return when no loop device is on `image`: until then its last user may be writing to it."""
    deadline = time.monotonic() + _RELEASE_TIMEOUT
    while image in loop.attached():
        if time.monotonic() > deadline:
            raise Conflict(f"{image.stem} is still being written out", hint="try again in a few seconds")
        time.sleep(0.005)


def _superblock(image: Path) -> Usage:
    """Read how large and how full an ext4 image was when its superblock was last written (ext4's disk layout)."""
    with image.open("rb") as file:
        file.seek(_SUPERBLOCK)
        data = file.read(1024)
    blocks, reserved, free = struct.unpack_from("<III", data, 4)
    high_blocks, high_reserved, high_free = struct.unpack_from("<III", data, 0x150)
    size = 1024 << struct.unpack_from("<I", data, 24)[0]
    blocks, free, reserved = (
        blocks | high_blocks << 32, free | high_free << 32, reserved | high_reserved << 32,
    )  # fmt: skip
    return Usage(size, blocks, free, max(0, free - reserved))
