"""Download caches and layer caches of builds, one set per app, kept between its builds.

Owns `build-cache/` on the pool: `<app>/<hash of the path inside>/`. All of it can be lost at any time
without harm. A cache that has grown beyond its limit when a build ends is begun anew, and those of apps
that built nothing for a month go, and those of apps that are no more. Apps never share a cache, nor does one with
a later app of its name: one could poison the other's builds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from roost.build.layers import tree_bytes
from roost.model.names import check_app_name

LIMIT = 8 << 30  # bytes of one app's caches
_UNUSED = 30 * 86400.0  # seconds


class BuildCaches:
    """The caches of one cloud's builds."""

    def __init__(self, directory: Path, *, limit: int = LIMIT) -> None:
        self._directory, self._limit = directory, limit
        self._busy: dict[str, int] = {}
        self._guard = threading.Lock()
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)

    def path(self, app: str, target: str) -> Path:
        """Return the directory that keeps `target`, made if missing."""
        directory = self._directory / app / hashlib.sha256(target.encode()).hexdigest()[:16]
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def forget(self, app: str) -> None:
        """Remove an app's caches: a later app of its name may be another's. Twice is once."""
        shutil.rmtree(self._directory / check_app_name(app), ignore_errors=True)

    @contextmanager
    def in_use(self, app: str) -> Iterator[None]:
        """Keep the app's caches for the length of a build; trim what is too big or too old after it."""
        with self._guard:
            self._busy[app] = self._busy.get(app, 0) + 1
        try:
            yield
        finally:
            with self._guard:
                self._busy[app] -= 1
                if not self._busy[app]:
                    del self._busy[app]
                    if (self._directory / app).exists():
                        os.utime(self._directory / app)
                self._trim(app)

    def _trim(self, app: str) -> None:
        for directory in self._directory.iterdir():
            if directory.name in self._busy:
                continue
            old = directory.stat().st_mtime < time.time() - _UNUSED
            if old or (directory.name == app and tree_bytes(directory) > self._limit):
                shutil.rmtree(directory, ignore_errors=True)
