"""What only the cloud's operator may do: the keys of the cloud, the certificates of its domain.

State owned: none; the keys are the vault's and `SigningKeys`'. A rotation that was cut off is finished at the next
start of roostd.
"""

from __future__ import annotations

from roost.control.cloud_domain import CloudDomain
from roost.control.contract import KeyRotation
from roost.control.core import Core, log
from roost.control.signing_keys import SigningKeys
from roost.model.errors import RoostError
from roost.plan.domain_report import Report


class Admin:
    """The verbs on the cloud's keys."""

    def __init__(self, core: Core, signing_keys: SigningKeys, of_domain: CloudDomain) -> None:
        self._core, self._of_domain = core, of_domain
        self._signing_keys = signing_keys

    def rotate_keys(self) -> KeyRotation:
        """Replace the key that wraps all others, and make the next key that signs identity tokens."""
        done = self._core.vault.rotate(self._core.fault)
        self._signing_keys.renew(self._core.now())
        log.info("keys rotated", key=done.key, data_keys=done.data_keys, values=done.values)
        return KeyRotation(done.key, done.data_keys, done.values)

    def domain(self) -> Report:
        """Return how the public certificates of the cloud's domain stand."""
        return self._of_domain.report()

    def check_domain(self) -> Report:
        """Ask DNS now, and have the authority asked again at once."""
        return self._of_domain.check()

    def resume(self) -> None:
        """Finish a rotation that was cut off."""
        try:
            self._core.vault.resume(self._core.fault)
        except RoostError as error:
            log.warning("a rotation of keys could not be finished", error=error.message, hint=error.hint)
