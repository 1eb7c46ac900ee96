"""Who may ask for what: roles, actions, and the principal that a checked token stands for. Pure values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from roost.model.errors import BadInput

PERSONAL = "personal"  # the org that every cloud has
DEFAULT_EXPIRY = 90 * 86_400.0  # seconds that a token lives unless told
LONGEST_EXPIRY = 20 * 366 * 86_400.0
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


class Role(StrEnum):
    """What a member may do in an org, or a token of the cloud in all of them."""

    ADMIN = "admin"  # everything: members, tokens, removing apps
    DEPLOYER = "deployer"  # changes apps and what they have, and runs commands in machines
    READER = "reader"  # looks, and changes nothing


class Action(StrEnum):
    """The kinds of calls."""

    READ = "read"
    WRITE = "write"
    KEYS = "keys"  # have a secret key encrypt, decrypt, sign or verify; a part of `write`
    EXEC = "exec"  # run a command in a machine
    MANAGE = "manage"  # an org's members and tokens, and the end of an app
    OPERATE = "operate"  # the cloud itself: orgs, images, keys


def with_parts(actions: Iterable[str]) -> frozenset[Action]:
    """Return actions together with those that are a part of them; raises ValueError for a word that is none."""
    named = frozenset(Action(action) for action in actions)
    return named | {Action.KEYS} if Action.WRITE in named else named


RANK: Mapping[Role, int] = {Role.READER: 0, Role.DEPLOYER: 1, Role.ADMIN: 2}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, after the token was checked.

    `orgs` holds the role in each org that the token sees; None: a token of the cloud, which has `role` everywhere.
    What else is None or empty limits nothing. `sources` are networks, and the caller must be in each of them.
    """

    name: str
    role: str
    token_id: str
    orgs: Mapping[str, Role] | None = None
    apps: frozenset[str] | None = None
    machine: str = ""
    actions: frozenset[Action] | None = None
    sources: tuple[str, ...] = ()
    user: str = ""
    expires_at: float | None = None  # Unix time; None: never
    attenuated: bool = False  # narrowed by caveats, so that another than its owner may have it

    @property
    def limited(self) -> bool:
        """Whether it is narrower than its role: to some apps, one machine, some actions, some addresses or a time."""
        return (
            self.attenuated or self.apps is not None or bool(self.machine or self.sources) or self.actions is not None
        )


@dataclass(frozen=True, slots=True)
class Org:
    """A group of users who share apps."""

    slug: str
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Member:
    """A user's role in an org. A user exists while it is a member of one."""

    org: str
    user: str
    role: Role
    added_at: float


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret. `org` "": of the cloud, or, with a `user`, of all orgs that the user is in."""

    id: str
    name: str
    role: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    org: str = ""
    user: str = ""
    apps: tuple[str, ...] | None = None
    machine: str = ""
    actions: tuple[str, ...] | None = None
    app_ids: tuple[str, ...] | None = None  # of `apps`, in their order: what decides, since a name can come again


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a token is asked for. `lifetime` is seconds; None: it never expires."""

    name: str
    role: Role
    org: str = ""
    user: str = ""
    apps: tuple[str, ...] | None = None
    machine: str = ""
    actions: tuple[Action, ...] | None = None
    lifetime: float | None = DEFAULT_EXPIRY


def check_org(slug: str) -> str:
    """Return `slug` if it can be an org's, else raise BadInput."""
    if _LABEL.fullmatch(slug):
        return slug
    raise BadInput(
        f"{slug[:80]!r} can't be an org's slug: use 1 to 63 lower-case letters, digits and inner hyphens",
        hint="`roost orgs list` shows them",
    )


def check_user(name: str) -> str:
    """Return `name` if it can be a user's, else raise BadInput."""
    if _USER.fullmatch(name):
        return name
    raise BadInput(
        f"{name[:80]!r} can't be a user's name",
        hint="use 1 to 100 letters, digits and . _ @ + -, such as ann@example.com",
    )


def lower(one: Role, other: Role) -> Role:
    """Return the role that may do less."""
    return min(one, other, key=RANK.__getitem__)
