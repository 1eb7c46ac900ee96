"""An app's secrets: sealed before they reach the store, opened only to start a machine."""

from __future__ import annotations

from collections.abc import Mapping

from roost.control.contract import SecretInfo
from roost.control.core import Core
from roost.model.errors import BadInput
from roost.model.names import check_secret_name

MAX_VALUE = 64 * 1024  # bytes; the kernel allows 128 KiB for one environment string (MAX_ARG_STRLEN)
RESERVED = ("FLY_", "ROOST_")


class Secrets:
    """The verbs on secrets."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def set(self, app: str, values: Mapping[str, str | None]) -> int:
        """Set and (None) remove secrets at once; returns the new secrets version."""
        self._core.store.apps.get(app)
        sealed: dict[str, tuple[bytes, str] | None] = {}
        for name, value in values.items():
            check_secret_name(name)
            if name.startswith(RESERVED):
                raise BadInput(
                    f"{name} can't be a secret: names with FLY_ or ROOST_ are set by the cloud",
                    hint="choose a name that begins differently",
                )
            if value is None:
                sealed[name] = None
                continue
            raw = value.encode()
            if len(raw) > MAX_VALUE or b"\0" in raw:
                raise BadInput(f"the value of {name} must have at most {MAX_VALUE} bytes and no NUL")
            sealed[name] = (self._core.vault.seal(raw, f"{app}/{name}"), self._core.vault.digest(raw))
        return self._core.store.secrets.set(app, sealed, self._core.now())

    def open(self, app: str) -> dict[str, str]:
        """Return the values, for a machine's environment."""
        vault = self._core.vault
        return {s.name: vault.open(s.sealed, f"{app}/{s.name}").decode() for s in self._core.store.secrets.list(app)}

    def list(self, app: str) -> list[SecretInfo]:
        """Return names and digests, never values."""
        self._core.store.apps.get(app)
        return [SecretInfo(s.name, s.digest, s.created_at, s.updated_at) for s in self._core.store.secrets.list(app)]
