"""Orgs, members, tokens and who is asking, as JSON. A token's secret is in none of them."""

from __future__ import annotations

from typing import Any

from roost.api.shapes import time_to_json
from roost.model.identity import PERSONAL, Member, Org, Principal, Token

Json = dict[str, Any]


def principal_to_json(principal: Principal) -> list[Json]:
    """Return the token in use, in the form of `GET /tokens/current`: once for each org that it sees."""
    common = {
        "token_id": principal.token_id,
        "user": principal.user or principal.name,
        "name": principal.name,
        "apps": None if principal.apps is None else sorted(principal.apps),
        "restricted_to_machine": principal.machine or None,
        "source_machine_id": None,
        "actions": None if principal.actions is None else sorted(principal.actions),
        "source_addresses": list(principal.sources),
        "expires_at": time_to_json(principal.expires_at or 0.0),
    }
    if principal.orgs is None:
        return [common | {"org_slug": PERSONAL, "organization": PERSONAL, "role": principal.role, "cloud": True}]
    return [
        common | {"org_slug": org, "organization": org, "role": role, "cloud": False}
        for org, role in sorted(principal.orgs.items())
    ]


def token_to_json(token: Token) -> Json:
    """Return a token without its secret."""
    return {
        "id": token.id,
        "name": token.name,
        "org_slug": token.org,
        "user": token.user,
        "role": token.role,
        "apps": None if token.apps is None else list(token.apps),
        "machine": token.machine,
        "actions": None if token.actions is None else list(token.actions),
        "created_at": time_to_json(token.created_at),
        "expires_at": time_to_json(token.expires_at or 0.0),
        "revoked_at": time_to_json(token.revoked_at or 0.0),
    }


def org_to_json(org: Org, *, apps: int) -> Json:
    """Return an org and how many apps of it the token sees."""
    return {"slug": org.slug, "name": org.name, "apps": apps, "created_at": time_to_json(org.created_at)}


def member_to_json(member: Member) -> Json:
    """Return a member."""
    return {
        "user": member.user,
        "org_slug": member.org,
        "role": str(member.role),
        "added_at": time_to_json(member.added_at),
    }
