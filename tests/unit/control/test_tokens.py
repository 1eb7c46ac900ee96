"""Tokens against a real store: proved, weakened, expired, revoked; those of before go on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.factory import machine

from roost.control.tokens import Tokens, root_key
from roost.model.app import Event
from roost.model.errors import HostFailure, NotFound, Unauthorized
from roost.model.identity import Action, Member, NewToken, Role, Token
from roost.model.macaroon import BadMacaroon, attenuated, bound, decode, encode, mint, with_third_party
from roost.model.token_text import KEYS_LIFETIME, PREFIX, spell, weakened
from roost.plan.access import CLOUD, Scope, Target, may
from roost.store.store import Store

KEY = b"r" * 32
DEPLOYS = {Action.READ, Action.WRITE, Action.KEYS, Action.EXEC}
SHOP = Target(Scope.APP, "acme", "shop", "00000000000001")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    from roost.model.identity import Org

    found = Store(f"sqlite:///{tmp_path}/state.db")
    found.orgs.add(Org("acme", "Acme", 1.0))
    found.apps.create(name="shop", app_id="1", org="acme", network="acme-default", now=1.0)
    yield found
    found.close()


@pytest.fixture
def tokens(store: Store, clock: Clock) -> Tokens:
    return Tokens(store, clock, KEY)


def refused(call: Callable[[], object]) -> bool:
    with pytest.raises(Unauthorized):
        call()
    return True


def test_a_token_is_proved_by_the_key_and_nothing_in_the_database_makes_one(
    tokens: Tokens, store: Store, tmp_path: Path
) -> None:
    made, text = tokens.issue(NewToken("ci", Role.DEPLOYER, "acme"))
    assert text.startswith(PREFIX)
    found = tokens.authenticate(text)
    assert (found.name, found.token_id, found.orgs, found.attenuated) == ("ci", made.id, {"acme": Role.DEPLOYER}, False)
    signature = decode(text.removeprefix(PREFIX)).signature
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert signature not in stored
    assert text.encode() not in stored
    assert KEY not in stored
    other = Tokens(store, Clock(), b"x" * 32)
    assert refused(lambda: other.authenticate(text))


def test_tokens_of_before_go_on(tokens: Tokens, store: Store) -> None:
    secret = "s" * 43
    row = Token("0123456789ab", "admin", Role.ADMIN, 1.0, None, None)
    store.tokens.add(row, hashlib.sha256(secret.encode()).hexdigest())
    found = tokens.authenticate(f"roost_0123456789ab_{secret}")
    assert found.orgs is None
    assert may(found, Action.OPERATE, CLOUD)
    assert refused(lambda: tokens.authenticate(f"roost_0123456789ab_{'t' * 43}"))
    assert refused(lambda: tokens.authenticate(spell(mint(KEY, b"0123456789ab"))))


@pytest.mark.parametrize(
    "text",
    ["", "roost_", "fm2_abc", PREFIX, PREFIX + "AAAA", PREFIX + "é", "roost_000000000000_" + "a" * 43, "a" * 8000],
)
def test_what_is_no_token_is_refused(tokens: Tokens, text: str) -> None:
    assert refused(lambda: tokens.authenticate(text))


def test_a_new_macaroon_token_without_a_row_is_refused(tokens: Tokens) -> None:
    key = tokens._key_of("ffffffffffff")
    assert refused(lambda: tokens.authenticate(spell(mint(key, b"ffffffffffff"))))


def test_expiry_and_revocation(tokens: Tokens, clock: Clock) -> None:
    made, text = tokens.issue(NewToken("ci", Role.READER, "acme", lifetime=60.0))
    clock.now += 59
    tokens.authenticate(text)
    clock.now += 1
    assert refused(lambda: tokens.authenticate(text))
    made, text = tokens.issue(NewToken("ci", Role.READER, "acme"))
    assert made.expires_at == clock.now + 90 * 86_400
    copy = weakened(text, ["app = shop"])
    tokens.authenticate(copy)
    tokens.revoke(made.id)
    assert refused(lambda: tokens.authenticate(text))
    assert refused(lambda: tokens.authenticate(copy))


def test_a_token_for_secret_keys_is_a_copy_of_one_that_is_listed(tokens: Tokens, store: Store, clock: Clock) -> None:
    row = machine(id="00000000000001", app="shop")
    store.machines.add(row, Event("01ARZ3NDEKTSV4RRFFQ69G5FAV", row.id, "launch", "started", "user", {}, 1.0))
    texts = [tokens.for_keys("00000000000001") for _ in range(2)]
    assert [token.name for token in tokens.list()] == ["secret keys of shop"]
    for text in texts:
        found = tokens.authenticate(text)
        assert {action for action in Action if may(found, action, SHOP)} == {Action.KEYS}
        assert not may(found, Action.KEYS, Target(Scope.APP, "acme", "blog"))
    clock.now += KEYS_LIFETIME
    assert refused(lambda: tokens.authenticate(texts[0]))
    again = tokens.for_keys("00000000000001")
    tokens.authenticate(again)
    tokens.revoke(tokens.list()[0].id)
    assert refused(lambda: tokens.authenticate(again))
    tokens.authenticate(tokens.for_keys("00000000000001"))
    with pytest.raises(NotFound):
        tokens.for_keys("00000000000002")


@pytest.mark.parametrize(
    ("conditions", "allowed"),
    [
        (["app = shop"], DEPLOYS),
        (["app = blog"], set()),
        (["org = acme"], DEPLOYS),
        (["org = other"], set()),
        (["action = read"], {Action.READ}),
        (["action = read,exec", "action = exec"], {Action.EXEC}),
        (["action = operate"], set()),
        (["action = keys"], {Action.KEYS}),
        (["action = write", "action = keys"], {Action.KEYS}),
        (["action = read,keys", "action = write"], {Action.KEYS}),
        (["machine = 00000000000001", "action = exec"], {Action.EXEC}),
        (["machine = 00000000000002"], set()),
        (["machine = 00000000000001", "machine = 00000000000002"], set()),
        (["ip = 192.0.2.0/24"], DEPLOYS),
        (["ip = 192.0.2.0/24", "ip = 198.51.100.0/24"], set()),
        (["time < 1000001"], DEPLOYS),
    ],
)
@pytest.mark.parametrize("of_cloud", [False, True])
def test_a_weaker_copy_may_less(tokens: Tokens, conditions: list[str], allowed: set[Action], of_cloud: bool) -> None:
    _, text = tokens.issue(NewToken("x", Role.DEPLOYER, "" if of_cloud else "acme"))
    found = tokens.authenticate(weakened(text, conditions))
    assert found.limited
    assert {action for action in Action if may(found, action, SHOP, "192.0.2.9")} == allowed
    assert not may(found, Action.MANAGE, SHOP, "192.0.2.9")


def test_a_cloud_admin_narrowed_to_an_org_is_not_the_operator(tokens: Tokens) -> None:
    found = tokens.authenticate(weakened(tokens.create("admin"), ["org = acme"]))
    assert may(found, Action.WRITE, SHOP)
    assert not may(found, Action.OPERATE, CLOUD)
    assert not may(found, Action.WRITE, Target(Scope.APP, "other", "theirs"))


def test_conditions_that_are_over_or_unknown_void_the_copy(tokens: Tokens) -> None:
    _, text = tokens.issue(NewToken("x", Role.DEPLOYER, "acme"))
    assert refused(lambda: tokens.authenticate(weakened(text, ["time < 1000000"])))
    macaroon = attenuated(decode(text.removeprefix(PREFIX)), b"colour = red")
    assert refused(lambda: tokens.authenticate(PREFIX + encode(macaroon)))


def test_a_third_party_must_have_confirmed(tokens: Tokens) -> None:
    _, text = tokens.issue(NewToken("x", Role.DEPLOYER, "acme"))
    shared = b"known to the third party"
    root = with_third_party(decode(text.removeprefix(PREFIX)), shared, b"logged in?", b"https://id.example", bytes(24))
    discharge = bound(attenuated(mint(shared, b"logged in?"), b"action = read"), root)
    assert refused(lambda: tokens.authenticate(spell(root)))
    assert refused(lambda: tokens.authenticate(spell(root), [text]))
    found = tokens.authenticate(spell(root), [spell(discharge)])
    assert {action for action in Action if may(found, action, SHOP)} == {Action.READ}


def test_a_users_token_has_the_roles_of_now(tokens: Tokens, store: Store) -> None:
    with pytest.raises(NotFound):
        tokens.issue(NewToken("ann", Role.ADMIN, user="ann"))
    store.orgs.set_member(Member("acme", "ann", Role.DEPLOYER, 1.0))
    _, text = tokens.issue(NewToken("ann", Role.ADMIN, user="ann"))
    assert may(tokens.authenticate(text), Action.WRITE, SHOP)
    assert not may(tokens.authenticate(text), Action.MANAGE, SHOP)
    store.orgs.set_member(Member("acme", "ann", Role.ADMIN, 1.0))
    assert may(tokens.authenticate(text), Action.MANAGE, SHOP)
    store.orgs.remove_member("acme", "ann")
    assert not may(tokens.authenticate(text), Action.READ, SHOP)


def test_the_root_key_is_made_once_private_and_checked(tmp_path: Path) -> None:
    key = root_key(tmp_path / "keys")
    assert len(key) == 32
    assert root_key(tmp_path / "keys") == key
    path = tmp_path / "keys" / "tokens.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"short")
    with pytest.raises(HostFailure):
        root_key(tmp_path / "keys")


def test_a_forged_signature_is_refused(tokens: Tokens) -> None:
    made, text = tokens.issue(NewToken("x", Role.READER, "acme"))
    forged = mint(b"a guess", made.id.encode())
    assert refused(lambda: tokens.authenticate(spell(forged)))
    with pytest.raises(BadMacaroon):
        decode(text.removeprefix(PREFIX)[:-8])


def again(store: Store, clock: Clock, *, org: str = "rival") -> None:
    """Destroy the app shop, and make another of its name."""
    from roost.model.identity import Org

    store.apps.remove("shop", now=clock.now)
    if store.orgs.find(org) is None:
        store.orgs.add(Org(org, org, 1.0))
    store.apps.create(name="shop", app_id="2", org=org, network=f"{org}-default", now=clock.now)


@pytest.mark.parametrize("org", ["rival", "acme"])
def test_a_token_for_an_app_ends_with_it_and_is_none_for_a_later_app_of_its_name(
    tokens: Tokens, store: Store, clock: Clock, org: str
) -> None:
    store.apps.create(name="blog", app_id="9", org="acme", network="acme-default", now=1.0)
    deploy, text = tokens.issue(NewToken("ci", Role.DEPLOYER, "acme", apps=("shop",)))
    _, running = tokens.issue(NewToken("run", Role.DEPLOYER, "acme", apps=("shop",), actions=(Action.EXEC,)))
    both, of_both = tokens.issue(NewToken("two", Role.DEPLOYER, "acme", apps=("shop", "blog")))
    row = machine(id="00000000000001", app="shop")
    store.machines.add(row, Event("01ARZ3NDEKTSV4RRFFQ69G5FAV", row.id, "launch", "started", "user", {}, 1.0))
    keys = tokens.for_keys(row.id)
    copy = weakened(text, ["action = read"])
    assert all(tokens.authenticate(each).apps == {"shop"} for each in (text, copy, running, keys))
    again(store, clock, org=org)
    assert all(refused(lambda each=each: tokens.authenticate(each)) for each in (text, copy, running, keys))
    assert tokens.get(deploy.id).revoked_at == clock.now
    assert tokens.authenticate(of_both).apps == {"blog"}
    assert tokens.get(both.id).apps == ("blog",)
    store.machines.add(row, Event("01ARZ3NDEKTSV4RRFFQ69G5FAW", row.id, "launch", "started", "user", {}, 1.0))
    assert tokens.authenticate(tokens.for_keys(row.id)).orgs == {org: Role.DEPLOYER}


def test_a_token_that_is_made_while_its_app_ends_is_good_for_nothing(
    tokens: Tokens, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = store.tokens.add

    def late(token: Token, sha256: str = "") -> None:
        again(store, clock)
        add(token, sha256)

    monkeypatch.setattr(store.tokens, "add", late)
    _, text = tokens.issue(NewToken("ci", Role.DEPLOYER, "acme", apps=("shop",)))
    assert refused(lambda: tokens.authenticate(text))


def test_a_copy_for_an_apps_id_is_none_for_a_later_app_of_its_name(tokens: Tokens, store: Store, clock: Clock) -> None:
    whole = tokens.create("admin")
    by_name, by_id = weakened(whole, ["app = shop"]), weakened(whole, ["app_id = 1"])
    neither = weakened(whole, ["app = blog", "app_id = 1"])
    assert tokens.authenticate(by_name).apps == tokens.authenticate(by_id).apps == {"shop"}
    assert tokens.authenticate(neither).apps == frozenset()
    again(store, clock)
    assert tokens.authenticate(by_name).apps == {"shop"}
    assert tokens.authenticate(by_id).apps == frozenset()
