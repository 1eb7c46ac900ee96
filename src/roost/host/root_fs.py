"""A machine's root: its image's layers below, a writable layer on its own disk above, all ids mapped.

State: mounts below the machine's run directory. The overlay holds the layers by itself, so their idmapped
mounts go again as soon as it stands; the overlay's own mount goes once the container has it, so that all
that is left in the host's mount table is the disk, and the overlay ends with the machine's processes.
After a kill half-way `MachineFiles.forget_run` unmounts whatever is below the directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from roost.host import mounts
from roost.host.contract import MachineSpec
from roost.host.machine_files import MachineFiles, RunFiles
from roost.model.errors import BadInput, HostFailure


def assemble(spec: MachineSpec, files: RunFiles, userns: int, etc: Mapping[str, str]) -> None:
    """Mount the root at `files.root` on top of the mounted disk; `userns` maps the ids.

    `etc` maps names in /etc to the texts that the machine finds there. Raises HostFailure, or BadInput for an image
    without layers.
    """
    if not spec.layers:
        raise BadInput(f"machine {spec.id} has no image layers")
    for name in (files.upper_name, files.work_name):
        (files.disk / name).mkdir(mode=0o755, parents=True, exist_ok=True)
    if etc:
        _write_etc(spec.layers, files.upper / "etc", etc)
    opened: list[int] = []
    try:
        for number, layer in enumerate(spec.layers):
            opened.append(_attach(layer, files.layers / str(number), userns, read_only=True))
        opened.append(_attach(files.disk, files.layers / "disk", userns, read_only=False))
        mounts.overlay(files.root, opened[:-1], opened[-1], upper_name=files.upper_name, work_name=files.work_name)
    except OSError as error:
        raise HostFailure(
            f"can't mount the root of machine {spec.id}: {error.strerror} ({error.filename})",
            hint="the kernel needs idmapped mounts and overlayfs on them: Linux 6.1 or newer",
        ) from None
    finally:
        for fd in opened:
            os.close(fd)
        for place in files.layers.iterdir():
            mounts.unmount(place)
            place.rmdir()


def show_image(layers: Sequence[Path], target: Path, files: MachineFiles, userns: int) -> None:
    """Mount what an image holds at `target`, read-only, for a machine without a root of its own; raises HostFailure."""
    opened: list[int] = []
    try:
        # An overlay has two layers at least: an empty one, which stays as long as the overlay, goes below.
        opened.append(os.open(files.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        for number, layer in enumerate(layers):
            opened.append(_attach(layer, files.layers / str(number), userns, read_only=True))
        mounts.overlay(target, opened)
    except OSError as error:
        raise HostFailure(f"can't show an image at {target}: {error.strerror} ({error.filename})") from None
    finally:
        for fd in opened:
            os.close(fd)
        for place in files.layers.iterdir():
            mounts.unmount(place)
            place.rmdir()


def _write_etc(layers: Sequence[Path], target: Path, texts: Mapping[str, str]) -> None:
    """Put files into the /etc of an upper layer, so that no link of the image or an earlier run can lead elsewhere."""
    if target.is_symlink() or not target.is_dir():
        target.unlink(missing_ok=True)
        _make_etc(layers, target)
    directory = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name, text in texts.items():
            _replace(directory, name, text)
    finally:
        os.close(directory)


def _make_etc(layers: Sequence[Path], target: Path) -> None:
    """Make an empty /etc with the owner and permissions that it has in the image."""
    target.mkdir(mode=0o755)
    for layer in reversed(layers):
        with contextlib.suppress(FileNotFoundError):
            seen = (layer / "etc").lstat()
            if stat.S_ISDIR(seen.st_mode):
                os.chown(target, seen.st_uid, seen.st_gid)
                target.chmod(stat.S_IMODE(seen.st_mode))
            break


def _replace(directory: int, name: str, text: str) -> None:
    """Write a file in a directory in place of whatever has its name."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(name, dir_fd=directory)
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=directory)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)


def attach_binds(spec: MachineSpec, files: RunFiles, userns: int) -> tuple[Path, ...]:
    """Mount the sources of the spec's binds with mapped ids; returns where they are, in order."""
    places = []
    for number, bind in enumerate(spec.binds):
        place = files.binds / str(number)
        try:
            os.close(_attach(bind.source, place, userns, read_only=bind.read_only))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise HostFailure(f"can't show {bind.source} in machine {spec.id}: {error.strerror}") from None
            mounts.bind(
                bind.source, place, read_only=bind.read_only
            )  # its file system knows no idmapping: files show as nobody's
        places.append(place)
    return tuple(places)


def hide(files: RunFiles, *, root: bool = True) -> None:
    """Take the binds, and the root, out of the host's mount table; the container has them by now."""
    if root:
        mounts.unmount(files.root)
    for place in files.binds.iterdir():
        mounts.unmount(place)


def _attach(source: Path, place: Path, userns: int, *, read_only: bool) -> int:
    if source.is_dir():
        place.mkdir(mode=0o700)
    else:
        place.touch(mode=0o600)
    return mounts.bind_idmapped(source, place, userns, read_only=read_only)
