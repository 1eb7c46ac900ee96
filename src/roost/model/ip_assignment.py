"""Addresses under which an app is reached: the server's, shared by all, and one of its own in its private network."""

from __future__ import annotations

from dataclasses import dataclass

from roost.model.errors import BadInput, Unprocessable

SHARED = "shared_v4"
PRIVATE = "private_v6"
TYPES = (SHARED, "v4", "v6", "private_v6", "egress_v4", "egress_v6", "egress_pair")


@dataclass(frozen=True, slots=True)
class IpAssignment:
    """An address that an app asked for and may point DNS records to."""

    app: str
    ip: str
    region: str
    service_name: str
    created_at: float


def check_type(kind: str) -> str:
    """Return `kind` if an address of this type can be had; raises BadInput, or Unprocessable that says why not."""
    if kind not in (*TYPES, "private"):
        raise BadInput(f"type must be one of {', '.join(TYPES)}, not {kind[:40]!r}")
    if kind == "private":
        return PRIVATE
    if kind not in (SHARED, PRIVATE):
        raise Unprocessable(
            f"type {kind}: a server has no address that belongs to one app alone",
            hint=f"ask for {SHARED}: all apps have the server's address, told apart by host name; or for {PRIVATE}",
        )
    return kind


def is_private(ip: str) -> bool:
    """Return whether an assigned address is an app's own in its private network."""
    return ip.lower().startswith("fdaa:")
