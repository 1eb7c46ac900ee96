"""Addresses under which an app is reached from outside. A server has one, which all apps share by host name."""

from __future__ import annotations

from dataclasses import dataclass

from roost.model.errors import BadInput, Unprocessable

SHARED = "shared_v4"
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
    if kind not in TYPES:
        raise BadInput(f"type must be one of {', '.join(TYPES)}, not {kind[:40]!r}")
    if kind == "private_v6":
        raise Unprocessable(
            "type private_v6: the edge does not serve private networks, so there is no such address to assign",
            hint="machines of the network reach the app directly, by its .internal names",
        )
    if kind != SHARED:
        raise Unprocessable(
            f"type {kind}: a server has no address that belongs to one app alone",
            hint=f"ask for {SHARED}: all apps have the server's address, and are told apart by host name",
        )
    return kind
