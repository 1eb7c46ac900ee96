"""What only the cloud's operator may do: the keys of the cloud.

State owned: none; the keys are the vault's and `SigningKeys`'. A rotation that was cut off is finished at the next
start of roostd.
"""

from __future__ import annotations

from roost.control.contract import KeyRotation
from roost.control.core import Core, log
from roost.control.signing_keys import SigningKeys
from roost.model.errors import RoostError


class Admin:
    """The verbs on the cloud's keys."""

    def __init__(self, core: Core, signing_keys: SigningKeys) -> None:
        self._core = core
        self._signing_keys = signing_keys

    def rotate_keys(self) -> KeyRotation:
        """Replace the key that wraps all others, and make the next key that signs identity tokens."""
        done = self._core.vault.rotate(self._core.fault)
        self._signing_keys.renew(self._core.now())
        log.info("keys rotated", key=done.key, data_keys=done.data_keys, values=done.values)
        return KeyRotation(done.key, done.data_keys, done.values)

    def resume(self) -> None:
        """Finish a rotation that was cut off."""
        try:
            self._core.vault.resume(self._core.fault)
        except RoostError as error:
            log.warning("a rotation of keys could not be finished", error=error.message, hint=error.hint)
