"""Disks of the common size that are cloned and mounted before anyone asks, so that a start need not wait.

State: below `spares/` on the pool an image per spare, and in this process a descriptor of its mount, which is
nowhere in the mount table: when roostd ends, the mount and its loop device go with it. An image that was left
by a kill is removed by `clear`. Invariant: a spare is an untouched clone of the template, or it isn't given.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from roost.host import mounts
from roost.host.disks import Disks
from roost.host.spares import Spares


@dataclass(frozen=True, slots=True)
class _Spare:
    image: Path
    mount: int  # descriptor of the detached mount


class SpareDisks:
    """Keeps up to `number` disks of `size_gb` ready."""

    def __init__(self, disks: Disks, directory: Path, *, size_gb: int, number: int) -> None:
        self._disks = disks
        self._directory = directory
        self._size_gb = size_gb
        self._spares: Spares[_Spare] = Spares(self._make, _drop, number=number, name="disks")

    def clear(self) -> None:
        """Remove what a roostd that was killed left."""
        for point in mounts.mounts_below(self._directory):
            mounts.unmount(point)
        if self._directory.is_dir():
            for image in self._directory.glob("*.img"):
                image.unlink(missing_ok=True)

    def provide(self, machine_id: str, size_gb: int, target: Path) -> None:
        """Mount an empty disk of a machine at `target`: a spare one, else one made now. Raises as `Disks` does."""
        spare = self._spares.take() if size_gb == self._size_gb else None
        if spare is None or not self._give(spare, self._disks.image(machine_id), target):
            self._disks.create(machine_id, size_gb)
            self._disks.mount(machine_id, target)

    @property
    def ready(self) -> int:
        """How many spares there are."""
        return len(self._spares)

    def refill(self, *, after: float = 0.0) -> None:
        """Bring the spares up to their number in a background thread, `after` seconds from now. Returns at once."""
        self._spares.refill(after=after)

    def close(self) -> None:
        """Give up the spares."""
        self._spares.close()

    def _make(self) -> _Spare:
        name = os.urandom(4).hex()
        image, point = self._directory / f"{name}.img", self._directory / name
        point.mkdir(mode=0o700, parents=True)
        try:
            self._disks.clone_template(self._size_gb, image)
            self._disks.mount_image(image, point)
            return _Spare(image, mounts.detached(point))
        except BaseException:
            image.unlink(missing_ok=True)
            raise
        finally:
            mounts.unmount(point)
            point.rmdir()

    def _give(self, spare: _Spare, image: Path, target: Path) -> bool:
        try:
            spare.image.replace(image)
            mounts.attach(spare.mount, target)
        except OSError:
            image.unlink(missing_ok=True)
            _drop(spare)
            return False
        os.close(spare.mount)
        return True


def _drop(spare: _Spare) -> None:
    with contextlib.suppress(OSError):
        os.close(spare.mount)
    spare.image.unlink(missing_ok=True)
