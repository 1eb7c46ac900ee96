"""The verbs on releases."""

from __future__ import annotations

from roost.control.core import Core
from roost.model.app import Release


class Releases:
    """Releases of an app."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def list(self, app: str) -> list[Release]:
        """Return the releases, newest first."""
        self._core.store.apps.get(app)
        return self._core.store.releases.list(app)
