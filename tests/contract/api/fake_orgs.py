"""Orgs and tokens in memory, and one token for each kind of caller that there is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from roost.model.audit import AuditEntry, Called
from roost.model.errors import NameTaken, NotFound, Unauthorized
from roost.model.identity import Action, Member, NewToken, Org, Principal, Role, Token

NOW = 1_700_000_000.5
ORG = "acme"  # of the callers below, but for the stranger and the operator


def principal(name: str, role: Role, org: str = ORG) -> Principal:
    return Principal(name, role, f"tok_{name.replace('-', '_')}", orgs={org: role})


CALLERS = {  # by token
    "the-operators-token": Principal("operator", Role.ADMIN, "tok_operator"),
    "the-admins-token": principal("org-admin", Role.ADMIN),
    "the-deployers-token": principal("org-deployer", Role.DEPLOYER),
    "the-readers-token": principal("org-reader", Role.READER),
    "the-strangers-token": principal("stranger", Role.ADMIN, "other"),
    "the-apps-token": replace(principal("of-one-app", Role.DEPLOYER), apps=frozenset({"myapp"})),
    "the-exec-token": replace(
        principal("of-one-machine", Role.DEPLOYER),
        apps=frozenset({"myapp"}),
        machine="00000000000001",
        actions=frozenset({Action.READ, Action.EXEC}),
    ),
    "the-token-at-home": replace(principal("at-home", Role.ADMIN), sources=("10.9.0.0/16",)),
}


class Orgs:
    def __init__(self) -> None:
        self.orgs = {slug: Org(slug, slug, NOW) for slug in ("personal", ORG, "other")}
        self.people: dict[tuple[str, str], Member] = {}

    def list(self) -> list[Org]:
        return sorted(self.orgs.values(), key=lambda org: org.slug)

    def get(self, slug: str) -> Org:
        if slug not in self.orgs:
            raise NotFound("org not found")
        return self.orgs[slug]

    def create(self, slug: str, name: str = "") -> Org:
        if slug in self.orgs:
            raise NameTaken("there is one already")
        self.orgs[slug] = Org(slug, name or slug, NOW)
        return self.orgs[slug]

    def destroy(self, slug: str) -> None:
        self.get(slug)
        del self.orgs[slug]

    def members(self, slug: str) -> list[Member]:
        self.get(slug)
        return [member for (org, _), member in sorted(self.people.items()) if org == slug]

    def set_member(self, slug: str, user: str, role: Role) -> Member:
        self.get(slug)
        self.people[slug, user] = Member(slug, user, role, NOW)
        return self.people[slug, user]

    def remove_member(self, slug: str, user: str) -> None:
        if self.people.pop((slug, user), None) is None:
            raise NotFound("not a member")


class Tokens:
    def __init__(self, callers: dict[str, Principal]) -> None:
        self.callers = callers | CALLERS
        self.made: dict[str, Token] = {}

    def authenticate(self, token: str, discharges: Sequence[str] = ()) -> Principal:
        if token in self.callers:
            return self.callers[token]
        raise Unauthorized("Authenticate: token validation error", hint="`roost login URL`")

    def issue(self, wanted: NewToken) -> tuple[Token, str]:
        ident = hashlib.sha256(f"{wanted.name} {len(self.made)}".encode()).hexdigest()[:12]
        expires_at = None if wanted.lifetime is None else NOW + wanted.lifetime
        made = Token(
            ident, wanted.name, wanted.role, NOW, expires_at, None, wanted.org, wanted.user, wanted.apps,
            wanted.machine, wanted.actions,
        )  # fmt: skip
        self.made[ident] = made
        self.callers[f"secret-{ident}"] = Principal(
            wanted.name, wanted.role, ident, orgs={wanted.org: wanted.role} if wanted.org else None,
            apps=None if wanted.apps is None else frozenset(wanted.apps),
        )  # fmt: skip
        return made, f"secret-{ident}"

    def for_keys(self, machine_id: str) -> str:
        return f"keys.{machine_id}"

    def list(self) -> list[Token]:
        return list(self.made.values())

    def get(self, token_id: str) -> Token:
        if token_id not in self.made:
            raise NotFound("token not found")
        return self.made[token_id]

    def revoke(self, token_id: str) -> Token:
        self.made[token_id] = replace(self.get(token_id), revoked_at=NOW)
        self.callers.pop(f"secret-{token_id}", None)
        return self.made[token_id]


class Audit:
    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    def record(self, call: Called) -> None:
        ident = f"01ARZ3NDEKTSV4RRFFQ6{len(self.entries):06d}"
        values = {name: getattr(call, name) for name in call.__slots__}
        self.entries.append(AuditEntry(id=ident, app=call.subject.get("app", ""), **values))

    def list(
        self,
        *,
        orgs: Sequence[str] | None = None,
        apps: Sequence[str] | None = None,
        since: float = 0.0,
        before: str = "",
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        return [
            entry
            for entry in reversed(self.entries)
            if (orgs is None or entry.org in orgs)
            and (apps is None or entry.app in apps)
            and entry.at >= since
            and (not before or entry.id < before)
        ][:limit]
