"""Disks of the common size that are cloned and mounted before anyone asks, so that a start need not wait.

State: below `spares/` on the pool an image per spare, and in this process a descriptor of its mount, which is
nowhere in the mount table: when roostd ends, the mount and its loop device go with it. An image that was left
by a kill is removed by `clear`. Invariant: a spare is an untouched clone of the template, or it isn't given.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from roost.host import mounts
from roost.host.disks import Disks
from roost.model.errors import RoostError


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
        self._number = number
        self._ready: deque[_Spare] = deque()
        self._lock = threading.Lock()
        self._refilling = False
        self._closing = threading.Event()

    def clear(self) -> None:
        """Remove what a roostd that was killed left."""
        for point in mounts.mounts_below(self._directory):
            mounts.unmount(point)
        if self._directory.is_dir():
            for image in self._directory.glob("*.img"):
                image.unlink(missing_ok=True)

    def provide(self, machine_id: str, size_gb: int, target: Path) -> None:
        """Mount an empty disk of a machine at `target`: a spare one, else one made now. Raises as `Disks` does."""
        with self._lock:
            spare = self._ready.popleft() if self._ready and size_gb == self._size_gb else None
        if spare is None or not self._give(spare, self._disks.image(machine_id), target):
            self._disks.create(machine_id, size_gb)
            self._disks.mount(machine_id, target)

    @property
    def ready(self) -> int:
        """How many spares there are."""
        return len(self._ready)

    def refill(self, *, after: float = 0.0) -> None:
        """Bring the spares up to their number in a background thread, `after` seconds from now. Returns at once."""
        with self._lock:
            if self._refilling or self._closing.is_set() or not self._number:
                return
            self._refilling = True
        threading.Thread(target=self._refill, args=(after,), name="disks", daemon=True).start()

    def close(self) -> None:
        """Give up the spares."""
        self._closing.set()
        with self._lock:
            spares = list(self._ready)
            self._ready.clear()
        for spare in spares:
            _drop(spare)

    def _refill(self, after: float) -> None:
        self._closing.wait(after)
        while self._wanting():
            try:
                self._ready.append(self._make())
            except (RoostError, OSError):  # a start without a spare makes its own disk, and reports why it can't
                self._refilling = False
                return
        if self._closing.is_set():
            self.close()

    def _wanting(self) -> bool:
        """Tell whether to make one more; once it says no, the next `refill` begins anew."""
        with self._lock:
            self._refilling = not self._closing.is_set() and len(self._ready) < self._number
            return self._refilling

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
