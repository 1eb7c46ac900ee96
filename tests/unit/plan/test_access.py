"""Who may do what, and why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roost.model.identity import Action, Principal, Role
from roost.plan.access import ANYWHERE, CLOUD, Scope, Target, may, refusal, sees, within

ADMIN = Principal("operator", "admin", "t")
SHOP = Target(Scope.APP, "acme", "shop", "00000000000001")
ACME = Target(Scope.ORG, "acme")


def of(role: Role, **orgs: Role) -> Principal:
    return Principal("someone", role, "t", orgs=orgs or {"acme": role})


@pytest.mark.parametrize(
    ("role", "changes", "allowed"),
    [
        ("admin", True, True),
        ("admin", False, True),
        ("reader", False, True),
        ("reader", True, False),
        ("", False, False),
        ("Admin", False, False),
        ("machine", False, False),
    ],
)
def test_roles_of_the_cloud(role: str, changes: bool, allowed: bool) -> None:
    assert may(Principal("someone", role, "tok"), Action.WRITE if changes else Action.READ, SHOP) is allowed


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.READER, {Action.READ}),
        (Role.DEPLOYER, {Action.READ, Action.WRITE, Action.KEYS, Action.EXEC}),
        (Role.ADMIN, {Action.READ, Action.WRITE, Action.KEYS, Action.EXEC, Action.MANAGE}),
    ],
)
def test_roles_in_an_org(role: Role, allowed: set[Action]) -> None:
    assert {action for action in Action if may(of(role), action, SHOP)} == allowed
    assert {action for action in Action if may(of(role), action, ACME)} == allowed
    assert not [action for action in Action if may(of(role), action, replace(SHOP, org="other"))]
    assert not [action for action in Action if may(of(role), action, CLOUD)]


def test_the_cloud_is_its_own_tokens_alone() -> None:
    assert {action for action in Action if may(ADMIN, action, CLOUD)} == set(Action)
    assert {action for action in Action if may(replace(ADMIN, role="reader"), action, CLOUD)} == {Action.READ}
    assert not may(replace(ADMIN, apps=frozenset({"shop"})), Action.READ, CLOUD)
    assert not may(replace(ADMIN, machine="00000000000001"), Action.OPERATE, SHOP)


def test_anywhere_means_in_one_of_the_orgs() -> None:
    both = of(Role.DEPLOYER, acme=Role.READER, other=Role.DEPLOYER)
    assert may(both, Action.WRITE, ANYWHERE)
    assert not may(both, Action.WRITE, SHOP)
    assert not may(both, Action.MANAGE, ANYWHERE)
    assert not may(replace(both, orgs={}), Action.WRITE, ANYWHERE)
    assert not may(replace(both, orgs={}), Action.READ, SHOP)


@pytest.mark.parametrize("base", [ADMIN, of(Role.ADMIN)])
def test_limits_only_take_away(base: Principal) -> None:
    one_app = replace(base, apps=frozenset({"shop"}))
    assert may(one_app, Action.WRITE, SHOP)
    assert not may(one_app, Action.WRITE, replace(SHOP, app="blog"))
    assert not may(one_app, Action.READ, ACME)
    assert sees(one_app, "acme")
    assert sees(one_app, "acme", "shop")
    assert not sees(one_app, "acme", "blog")
    one_machine = replace(base, machine="00000000000001")
    assert may(one_machine, Action.EXEC, SHOP)
    assert not may(one_machine, Action.EXEC, replace(SHOP, machine="00000000000002"))
    assert not may(one_machine, Action.WRITE, replace(SHOP, machine=""))
    look = replace(base, actions=frozenset({Action.READ}))
    assert may(look, Action.READ, SHOP)
    assert not may(look, Action.EXEC, SHOP)
    assert "limited to the actions read" in refusal(look, Action.EXEC, SHOP)
    assert not may(replace(base, actions=frozenset()), Action.READ, SHOP)
    assert not may(replace(base, apps=frozenset()), Action.READ, SHOP)


def test_every_network_must_hold_the_caller() -> None:
    here = replace(of(Role.ADMIN), sources=("10.0.0.0/8", "10.9.0.0/16"))
    assert may(here, Action.READ, SHOP, "10.9.1.1")
    assert not may(here, Action.READ, SHOP, "10.8.1.1")
    assert not may(here, Action.READ, SHOP)
    assert "10.9.0.0/16" in refusal(here, Action.READ, SHOP, "10.8.1.1")


@pytest.mark.parametrize(
    ("source", "network", "inside"),
    [
        ("192.0.2.7", "192.0.2.0/24", True),
        ("::ffff:192.0.2.7", "192.0.2.0/24", True),
        ("2001:db8::1", "2001:db8::/32", True),
        ("192.0.2.7", "2001:db8::/32", False),
        ("192.0.2.7", "192.0.2.9", False),
        ("", "0.0.0.0/0", False),
        ("192.0.2.7", "nonsense", False),
    ],
)
def test_addresses(source: str, network: str, inside: bool) -> None:
    assert within(source, network) is inside
