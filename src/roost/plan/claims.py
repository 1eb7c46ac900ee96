"""Whose a host name is when two apps ask for it: what its owner says in DNS decides. Pure."""

from __future__ import annotations

from enum import IntEnum

from roost.model.certificate import Seen
from roost.plan.certificates import Requirements


class Proof(IntEnum):
    """What DNS says for an app, the strongest last."""

    NONE = 0
    BELOW = 1  # the name is below a wildcard that is proven to be the app's org's
    LEADS = 2  # the name is another name for the app's own
    ORG = 3  # the ownership record names the app's org
    APP = 4  # or the app itself


def proof_of(seen: Seen, wanted: Requirements) -> Proof:
    """Return what DNS says of a name for the app that `wanted` is about."""
    if wanted.app_value in seen.ownership:
        return Proof.APP
    if wanted.org_value in seen.ownership:
        return Proof.ORG
    leads = any(name.rstrip(".").lower() == wanted.cname for name in seen.cname)
    return Proof.LEADS if leads else Proof.NONE


def goes_over(asking: Proof, holding: Proof) -> bool:
    """Say whether a host name goes to who asks for it from who has it: DNS must say more for the one who asks."""
    return asking > holding


def how_to_prove(hostname: str, wanted: Requirements) -> str:
    """Return the record by which a name's owner gives it to an app."""
    again = f"then add {hostname} again"
    return f'if the name is yours, say so in DNS, {again}: {wanted.ownership_name} TXT "{wanted.app_value}"'
