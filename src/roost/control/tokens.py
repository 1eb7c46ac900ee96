"""API tokens: made here, shown once, checked in constant time.

A new token is a macaroon (`model/token_text.py`): its identifier finds the row, and its signature, made with a key in
HOME/keys that the database never holds, proves it. Whoever has it can weaken it. A token of before is
`roost_ID_SECRET`: the row holds the secret's SHA-256, and a secret of 256 random bits leaves nothing to guess. What
a token may do is in its row, in what it was weakened by and, for a user's token, in the user's memberships now: who
leaves an org takes no token along.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from roost.control.contract import Principal
from roost.control.key_ring import write_private
from roost.model.conditions import Limits, read_conditions
from roost.model.errors import BadInput, HostFailure, NotFound, Unauthorized
from roost.model.identity import RANK, Action, NewToken, Role, Token, lower, with_parts
from roost.model.macaroon import BadMacaroon, decode, mint, verify
from roost.model.token_text import KEYS_LIFETIME, PREFIX, for_keys, spell
from roost.store.identity import StoredToken
from roost.store.store import Store

_TOKEN = re.compile(r"roost_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
LOCATION = b"roost"
_KEY = 32
_NOTHING = StoredToken(Token("", "", Role.READER, 0.0, None, None), "")
KEPT = 30 * 86_400.0  # seconds that a revoked or expired token is still listed


def root_key(directory: Path) -> bytes:
    """Return the key of all macaroons, in `tokens.key`; made if there is none. Raises HostFailure for a damaged one."""
    path = directory / "tokens.key"
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, secrets.token_bytes(_KEY))
    key = path.read_bytes()
    if len(key) != _KEY:
        raise HostFailure(
            f"{path} is damaged: it must hold {_KEY} bytes", hint="restore it, or remove it: all tokens void"
        )
    return key


class Tokens:
    """Makes and checks tokens."""

    def __init__(self, store: Store, now: Callable[[], float], root_key: bytes) -> None:
        """`root_key` proves all macaroons: losing it voids them, and who has it can make any."""
        self._store = store
        self._root_key = root_key
        self._now = now

    def create(self, name: str, role: str = Role.ADMIN) -> str:
        """Make a token of the whole cloud that never expires, and return its only copy."""
        return self.issue(NewToken(name, Role(role), lifetime=None))[1]

    def issue(self, wanted: NewToken) -> tuple[Token, str]:
        """Make a token; returns it and its only copy. Raises NotFound for an unknown org, BadInput."""
        if wanted.org and self._store.orgs.find(wanted.org) is None:
            raise NotFound(f"org not found: {wanted.org}", hint="`roost orgs list` shows them")
        self._check_user(wanted)
        if wanted.apps is not None and not wanted.org:
            raise BadInput("apps are given without an org", hint="a token for apps belongs to their org: send org_slug")
        ids = None if wanted.apps is None else tuple(self._id_of(app, wanted.org) for app in wanted.apps)
        now, token_id = self._now(), secrets.token_hex(6)
        made = Token(
            token_id, wanted.name, wanted.role, now, None if wanted.lifetime is None else now + wanted.lifetime, None,
            wanted.org, wanted.user, wanted.apps, wanted.machine, wanted.actions, ids,
        )  # fmt: skip
        self._store.tokens.add(made)
        return made, self._text(token_id)

    def _id_of(self, app: str, org: str) -> str:
        found = self._store.apps.get(app)
        if found.org != org:
            raise NotFound(f"app not found in {org}: {app}", hint=f"roost apps list --org {org}")
        return found.id

    def for_keys(self, machine_id: str) -> str:
        """Return a token that has the secret keys of a machine's app used, and does nothing else. Raises NotFound.

        All of an app's are made from one that is listed; revoking that voids those given out.
        """
        machine = self._store.machines.find(machine_id)
        if machine is None:
            raise NotFound("machine not found")
        now, app = self._now(), self._store.apps.get(machine.app)
        wanted = NewToken(
            f"secret keys of {app.name}", Role.DEPLOYER, app.org, apps=(app.name,), actions=(Action.KEYS,)
        )
        kept = next(
            (
                token
                for token in self._store.tokens.list()
                if token.app_ids == (app.id,) and _serves(token, wanted, now + KEYS_LIFETIME)
            ),
            None,
        )
        return for_keys(self._text((kept or self.issue(wanted)[0]).id), now)

    def _check_user(self, wanted: NewToken) -> None:
        if not wanted.user:
            return
        roles = self._store.orgs.of_user(wanted.user)
        if not roles or (wanted.org and wanted.org not in roles):
            where = wanted.org or "any org"
            raise NotFound(
                f"{wanted.user} is not a member of {where}",
                hint=f"roost orgs members add {wanted.org or 'ORG'} {wanted.user} --role deployer",
            )

    def list(self) -> Sequence[Token]:
        """Return all tokens, oldest first."""
        return self._store.tokens.list()

    def get(self, token_id: str) -> Token:
        """Return a token; raises NotFound."""
        found = self._store.tokens.find(token_id)
        if found is None:
            raise NotFound(f"token not found: {token_id[:40]!r}", hint="`roost tokens list` shows them")
        return found.token

    def revoke(self, token_id: str) -> Token:
        """Make a token void, from the next request on; raises NotFound."""
        self.get(token_id)
        self._store.tokens.revoke(token_id, self._now())
        return self.get(token_id)

    def authenticate(self, token: str, discharges: Sequence[str] = ()) -> Principal:
        """Return who owns the token; `discharges` are others sent along. Raises Unauthorized."""
        if token.startswith(PREFIX):
            stored, limits, weakened = self._by_signature(token, discharges)
        else:
            stored, limits, weakened = self._by_secret(token), Limits(), False
        now = self._now()
        ends = [at for at in (stored.expires_at, limits.expires_at) if at is not None]
        if stored.revoked_at is not None or any(at <= now for at in ends):
            raise Unauthorized(
                "Authenticate: token validation error: it is expired or revoked", hint="`roost login URL`"
            )
        roles = self._store.orgs.of_user(stored.user) if stored.user else {}
        found = principal(self._of_living_apps(stored), roles)
        return narrowed(found, self._by_name(limits)) if weakened else found

    def _of_living_apps(self, token: Token) -> Token:
        """Return the token for those of its apps that there still are; raises Unauthorized when none is.

        The end of an app ends its tokens. One that was made in that moment is found out here.
        """
        if token.apps is None:
            return token
        there = self._store.apps.ids(token.apps)
        pairs = zip(token.apps, token.app_ids or (), strict=False)
        living = tuple(name for name, app_id in pairs if there.get(name) == app_id)
        if not living:
            raise _unauthorized("the app that it was for is gone")
        return replace(token, apps=living)

    def _by_name(self, limits: Limits) -> Limits:
        """Return the limits with apps that are given by id as names."""
        if limits.app_ids is None:
            return limits
        named = self._store.apps.names(limits.app_ids)
        return replace(limits, apps=named if limits.apps is None else limits.apps & named)

    def _by_secret(self, token: str) -> Token:
        match = _TOKEN.fullmatch(token)
        found = (self._store.tokens.find(match[1]) if match else None) or _NOTHING
        if not hmac.compare_digest(found.sha256, _hash(match[2] if match else "")):
            raise _unauthorized()
        return found.token

    def _by_signature(self, token: str, discharges: Sequence[str]) -> tuple[Token, Limits, bool]:
        conditions: list[bytes] = []

        def collect(condition: bytes) -> bool:
            conditions.append(condition)
            return True

        try:
            macaroon = decode(token.removeprefix(PREFIX))
            along = [decode(other.removeprefix(PREFIX)) for other in discharges if other.startswith(PREFIX)]
            token_id = macaroon.identifier.decode("ascii", "replace")
            verify(macaroon, self._key_of(token_id), collect, along)
            limits = read_conditions([condition.decode("utf-8", "replace") for condition in conditions])
        except BadMacaroon as error:
            raise _unauthorized(str(error)) from None
        except BadInput as error:
            raise _unauthorized(error.message) from None
        found = self._store.tokens.find(token_id)
        if found is None or found.sha256:
            raise _unauthorized()
        return found.token, limits, bool(macaroon.caveats)

    def _text(self, token_id: str) -> str:
        return spell(mint(self._key_of(token_id), token_id.encode(), LOCATION))

    def _key_of(self, token_id: str) -> bytes:
        """Return the key that a token's macaroon begins with."""
        return hmac.digest(self._root_key, b"token " + token_id.encode(), "sha256")


def _serves(token: Token, wanted: NewToken, until: float) -> bool:
    """Tell whether a token is what is wanted, and good until then."""
    lasts = token.revoked_at is None and (token.expires_at is None or token.expires_at >= until)
    return lasts and all(getattr(token, key) == getattr(wanted, key) for key in ("name", "org", "apps", "actions"))


def _unauthorized(why: str = "") -> Unauthorized:
    text = "Authenticate: token validation error" + (f": {why}" if why else "")
    return Unauthorized(text, hint="`roost login URL` stores a token")


def narrowed(who: Principal, limits: Limits) -> Principal:
    """Return what conditions leave of a principal (pure)."""
    orgs = who.orgs
    if limits.orgs is not None:
        roles = {org: Role(who.role) for org in limits.orgs} if orgs is None else orgs
        orgs = {org: role for org, role in roles.items() if org in limits.orgs}
    apps = who.apps if limits.apps is None else limits.apps if who.apps is None else who.apps & limits.apps
    actions = who.actions
    if limits.actions is not None:
        named = with_parts(limits.actions)
        actions = named if actions is None else actions & named
    if limits.machine and who.machine and limits.machine != who.machine:
        actions = frozenset()  # two machines at once: nothing is left
    ends = [at for at in (who.expires_at, limits.expires_at) if at is not None]
    return replace(
        who,
        orgs=orgs,
        apps=apps,
        machine=limits.machine or who.machine,
        actions=actions,
        sources=(*who.sources, *limits.networks),
        expires_at=min(ends, default=None),
        attenuated=True,
    )


def principal(token: Token, memberships: Mapping[str, Role]) -> Principal:
    """Return who a token stands for, given the roles that its user has now (pure)."""
    role = Role(token.role)
    orgs: dict[str, Role] | None = None
    if token.user:
        orgs = {org: lower(role, has) for org, has in memberships.items() if token.org in ("", org)}
        role = max(orgs.values(), key=RANK.__getitem__, default=Role.READER)
    elif token.org:
        orgs = {token.org: role}
    return Principal(
        token.name,
        role,
        token.id,
        orgs=orgs,
        apps=None if token.apps is None else frozenset(token.apps),
        machine=token.machine,
        actions=None if token.actions is None else with_parts(token.actions),
        user=token.user,
        expires_at=token.expires_at,
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
