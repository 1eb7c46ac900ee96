"""Loop devices by ioctl: a file seen as a block device while something is mounted from it.

State: the kernel's loop devices. Every device is made with autoclear, so it goes by itself when the last
user (the mount, or our descriptor after a kill) goes: there is nothing to undo.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path

from roost.model.errors import InsufficientCapacity

# linux/loop.h
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LOOP_SET_DIRECT_IO = 0x4C08
_LOOP_SET_CAPACITY = 0x4C07
_LO_FLAGS_AUTOCLEAR = 4
_INFO64 = "=QQQQQIIII64s64s32sQQ"  # struct loop_info64
_BLOCK = 4096  # file systems on it are made with this sector size
_ATTEMPTS = 64  # another program may take the free device between finding and configuring it


def attach(image: Path, *, direct_io: bool = False) -> tuple[int, str]:
    """Attach `image`; returns an open descriptor of the device, and its path.

    The device lives until the descriptor is closed and nothing is mounted from it. `direct_io` keeps
    the image out of the page cache of the pool, where the pool can do it. Raises OSError.
    """
    file = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        device, path = _configure(file, image)
    finally:
        os.close(file)
    if direct_io:
        with contextlib.suppress(OSError):  # where the block size doesn't fit, buffered works as well
            fcntl.ioctl(device, _LOOP_SET_DIRECT_IO, 1)
    return device, path


def attached() -> dict[Path, str]:
    """Return the files behind all the loop devices of this host, and the device of each."""
    found = {}
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found[Path(backing.read_text().rstrip("\n"))] = f"/dev/{backing.parts[3]}"
        except OSError:
            continue  # it went just now
    return found


def refresh_size(image: Path) -> None:
    """Let the device on `image`, if there is one, see that the file has grown; raises OSError."""
    path = attached().get(image)
    if path is not None:
        device = _open(path)
        try:
            fcntl.ioctl(device, _LOOP_SET_CAPACITY, 0)
        finally:
            os.close(device)


def _configure(file: int, image: Path) -> tuple[int, str]:
    name = os.fsencode(image.name)[:63]
    info = struct.pack(_INFO64, 0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, name, b"", b"", 0, 0)
    request = struct.pack("=II", file, _BLOCK) + info + bytes(64)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            device = _open(path)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, request)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
            else:
                return device, path
    finally:
        os.close(control)
    raise InsufficientCapacity(f"no loop device is free for {image.name}", hint="stop some machines and try again")


def _open(path: str) -> int:
    """Open a loop device; where nothing makes device nodes by itself, make it."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        os.mknod(path, 0o600 | 0o060000, os.makedev(7, int(path.removeprefix("/dev/loop"))))
        return os.open(path, flags)
