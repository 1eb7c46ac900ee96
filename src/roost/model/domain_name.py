"""Names of the cloud's own domain that have, or wait for, a public certificate: `*.DOMAIN`, or APP.DOMAIN each."""

from __future__ import annotations

from dataclasses import dataclass

from roost.model.certificate import Attempt, Certificate, Issued, Seen


@dataclass(frozen=True, slots=True)
class DomainName:
    """One name. Times are Unix seconds, 0: never."""

    hostname: str
    app: str  # the app's name; "" for the wildcard
    created_at: float
    called_at: float = 0.0  # when a client first greeted the edge by this name
    first_issued_at: float = 0.0  # counts against the authority's weekly limit; a renewal does not
    issued: Issued | None = None
    attempt: Attempt | None = None
    seen: Seen | None = None  # what DNS said after the latest failure or check
    checked_at: float = 0.0
    exists: bool = True  # the app is there
    org: str = ""  # that it was first issued for; until then the app's, "" when that is gone

    def as_certificate(self) -> Certificate:
        """Return it in the form of an app's own host name that was asked for."""
        return Certificate(
            self.app, self.hostname, True, None, self.seen, self.checked_at, self.created_at, self.created_at,
            self.issued, self.attempt,
        )  # fmt: skip
