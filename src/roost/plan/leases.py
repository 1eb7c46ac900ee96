"""Who may hold and who may change a leased machine: pure, with the time and the new names passed in."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import UTC, datetime

from roost.model.errors import Conflict, NotFound
from roost.model.machine_version import Lease


class Leased(Conflict):
    """Somebody else holds the machine. Says who and until when, never the nonce."""

    def __init__(self, message: str, lease: Lease) -> None:
        until = datetime.fromtimestamp(lease.expires_at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        super().__init__(
            f"{message} by {lease.owner} until {until}",
            hint="wait until it has ended, or send its nonce in the header fly-machine-lease-nonce",
        )
        self.lease = lease

    def to_json(self) -> dict[str, str]:
        """Return the API's error body, with the lease's owner and end."""
        return super().to_json() | {
            "owner": self.lease.owner,
            "description": self.lease.description,
            "expires_at": str(int(self.lease.expires_at)),
        }


def acquire(current: Lease | None, wanted: Lease, nonce: str) -> Lease:
    """Return the lease after somebody asked for it: a new one, or with the right `nonce` the same for longer.

    Raises Leased when it is another's, NotFound when the one that `nonce` belonged to has ended.
    """
    if current is None:
        if nonce:
            raise NotFound("lease not found", hint="it has ended: ask for a new one, without the nonce")
        return wanted
    if not holds(current, nonce):
        raise Leased("failed to acquire lease: machine is already locked", current)
    return replace(current, expires_at=wanted.expires_at, description=wanted.description or current.description)


def release(current: Lease | None, nonce: str) -> None:
    """Raise unless the lease may be given back: NotFound when there is none, Leased for a wrong nonce."""
    if current is None:
        raise NotFound("lease not found", hint="it has ended already")
    if not holds(current, nonce):
        raise Leased("failed to release lease: machine is locked", current)


def permit(current: Lease | None, nonce: str) -> None:
    """Raise Leased unless a machine may be changed by one who shows `nonce`. Without a lease everybody may."""
    if current is not None and not holds(current, nonce):
        raise Leased("machine is locked: it is leased", current)


def holds(lease: Lease, nonce: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(lease.nonce.encode(), nonce.encode("utf-8", "replace"))
