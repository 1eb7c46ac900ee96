"""An app's secrets: sealed before they reach the store, opened only to start a machine."""

from __future__ import annotations

from collections.abc import Mapping

from roost.control.contract import SecretInfo
from roost.control.core import Core
from roost.control.sealing import keys_of, of_app
from roost.model.errors import BadInput, NotFound
from roost.model.names import check_secret_name

MAX_VALUE = 64 * 1024  # bytes; the kernel allows 128 KiB for one environment string (MAX_ARG_STRLEN)
RESERVED = ("FLY_", "ROOST_")


class Secrets:
    """The verbs on secrets."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def set(self, app: str, values: Mapping[str, str | None]) -> int:
        """Set and (None) remove secrets at once; returns the new secrets version."""
        raw = {name: _checked(name, value) for name, value in values.items()}
        vault = self._core.vault
        with self._core.locks.holding(keys_of(app)):
            self._core.store.apps.get(app)
            sealed = {
                name: None
                if value is None
                else (vault.seal(value, f"{app}/{name}", key=of_app(app)), vault.digest(value))
                for name, value in raw.items()
            }
            return self._core.store.secrets.set(app, sealed, self._core.now())

    def get(self, app: str, name: str) -> SecretInfo:
        """Return one name and digest; raises NotFound."""
        for secret in self.list(app):
            if secret.name == name:
                return secret
        raise NotFound(f"{app} has no secret {name}", hint=f"`roost secrets list -a {app}` shows the names")

    def remove(self, app: str, name: str) -> int:
        """Remove one; returns the new secrets version. Raises NotFound."""
        self.get(app, name)
        return self.set(app, {name: None})

    def open(self, app: str) -> dict[str, str]:
        """Return the values, for a machine's environment."""
        vault = self._core.vault
        return {
            s.name: vault.open(s.sealed, f"{app}/{s.name}", key=of_app(app)).decode()
            for s in self._core.store.secrets.list(app)
        }

    def list(self, app: str) -> list[SecretInfo]:
        """Return names and digests, never values."""
        self._core.store.apps.get(app)
        return [SecretInfo(s.name, s.digest, s.created_at, s.updated_at) for s in self._core.store.secrets.list(app)]


def _checked(name: str, value: str | None) -> bytes | None:
    check_secret_name(name)
    if name.startswith(RESERVED):
        raise BadInput(
            f"{name} can't be a secret: names with FLY_ or ROOST_ are set by the cloud",
            hint="choose a name that begins differently",
        )
    raw = None if value is None else value.encode()
    if raw is not None and (len(raw) > MAX_VALUE or b"\0" in raw):
        raise BadInput(f"the value of {name} must have at most {MAX_VALUE} bytes and no NUL")
    return raw
