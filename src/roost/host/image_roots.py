"""What an image holds, as a directory in no mount table: read-only, and what is root's belongs to another user.

State owned: mount points below a directory, for as long as a call takes; `sweep` removes what a kill left of them.
What is returned lives as long as its descriptor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from roost.host import mounts
from roost.host.namespaces import root_as


class ImageRoots:
    """Makes them for one user. `place` is a directory below a private mount that is nobody else's."""

    def __init__(self, place: Path, user: int) -> None:
        self._place = place
        self._userns = root_as(user)

    def sweep(self) -> None:
        """Begin with an empty place."""
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for point in mounts.mounts_below(self._place):
            mounts.unmount(point)
        for left in self._place.iterdir():
            left.rmdir()

    def open(self, layers: Sequence[Path]) -> int:
        """Return a descriptor (O_PATH) of the root of an image with these layers, lowest first; raises OSError."""
        places = [self._place / str(number) for number in range(len(layers))]
        root, empty = self._place / "root", self._place / "empty"
        opened: list[int] = []
        try:
            for directory in (root, empty, *places):
                directory.mkdir(mode=0o755)
            # An overlay has two layers at least: an empty one goes below.
            opened.append(os.open(empty, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
            opened += [
                mounts.bind_idmapped(layer, place, self._userns, read_only=True)
                for layer, place in zip(layers, places, strict=True)
            ]
            mounts.overlay(root, opened)
            return os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            for descriptor in opened:
                os.close(descriptor)
            for directory in (root, empty, *places):
                if directory.exists():
                    mounts.unmount(directory)
                    directory.rmdir()
