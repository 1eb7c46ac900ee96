"""The https listener, secrets by name, and the redirect to https."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from roost.edge.contract import Endpoint, Material, Route
from roost.edge.delta import NamedSubscription
from roost.edge.listener import EdgePlace, listeners
from roost.edge.protos import SECRET, VirtualHost
from roost.edge.secrets import SecretKeeper
from roost.edge.snapshot import Ports, app_virtual_host
from roost.edge.tls import CLOUD, NAMELESS, secret
from roost.edge.xds import XdsServer

PLACE = EdgePlace(80, "local", Path("/a.sock"), https_port=443, domain="apps.example.org")
ROUTE = Route("shop", ("shop.apps.example.org",), (Endpoint("m", "10.1.0.2", 8080),), force_https=True)


def test_there_is_a_listener_for_https_when_it_has_a_port() -> None:
    assert [each.name for each in listeners(PLACE)] == ["http", "https"]
    assert [each.name for each in listeners(replace(PLACE, https_port=0))] == ["http"]


def test_a_wildcard_below_a_top_level_name_is_not_used() -> None:
    assert b"*.apps.example.org" in listeners(PLACE)[1].resource.value
    assert b"*.localhost" not in listeners(replace(PLACE, domain="localhost"))[1].resource.value


def virtual_host(ports: Ports) -> VirtualHost:  # type: ignore[valid-type]
    message = VirtualHost()
    app_virtual_host(ROUTE, ports).resource.Unpack(message)
    return message


def test_force_https_redirects_only_where_there_is_https() -> None:
    assert [route.redirect.port_redirect for route in virtual_host(Ports(80, 443)).routes] == [0, 0, 0, 0, 0]
    assert virtual_host(Ports(80, 443)).routes[1].redirect.https_redirect
    assert virtual_host(Ports(8080, 8443)).routes[1].redirect.port_redirect == 8443
    assert not any(route.redirect.https_redirect for route in virtual_host(Ports(8080, 0)).routes)


def test_a_key_is_in_no_representation() -> None:
    assert "secret" not in repr(Material(b"chain", b"secret"))


def test_a_name_that_there_is_nothing_for_is_answered_with_its_removal() -> None:
    subscription = NamedSubscription()
    subscription.subscribe(["a"], {}, {}, complete=False)
    assert subscription.next({}, "1", lambda _: False) is None, "not known yet"
    change = subscription.next({}, "1")
    assert change is not None and change.removed == ("a",)
    subscription.answer("1", "")
    subscription.unsubscribe(["a"])
    assert subscription.next({}, "2") is None
    subscription.subscribe(["a"], {}, {}, complete=False)
    again = subscription.next({}, "2")
    assert again is not None and again.removed == ("a",)


def test_what_envoy_has_already_is_not_sent_again() -> None:
    subscription = NamedSubscription()
    found = secret("a", Material(b"c", b"k"))
    subscription.subscribe(["a"], {"a": found.version}, {}, complete=False)
    assert subscription.next({"a": found}, "1") is None
    assert subscription.next({"a": found}, "2") is None


class Source:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = False

    async def certificate(self, host: str) -> Material | None:
        self.asked.append(host)
        if self.fails:
            raise RuntimeError("away")
        return None if host.startswith("no") else Material(host.encode(), b"k")


async def asked(server: XdsServer, *names: str) -> None:
    server.asked_secrets = lambda: set(names)  # type: ignore[method-assign]
    server.wanted()
    for _ in range(20):
        await asyncio.sleep(0)


async def test_names_are_looked_up_once_and_again_when_they_change() -> None:
    server, source = XdsServer(), Source()
    keeper = SecretKeeper(server, source, "apps.example.org")
    task = asyncio.create_task(keeper.run())
    try:
        await asked(server, CLOUD, NAMELESS, "A.example.com", "none.example.com")
        assert sorted(source.asked) == ["*.apps.example.org", "a.example.com", "apps.example.org", "none.example.com"]
        assert set(server.table[SECRET]) == {CLOUD, NAMELESS, "A.example.com"}
        assert server.knows_secret("none.example.com")
        source.asked.clear()
        keeper.changed(["*.example.com"])
        await asked(server, CLOUD, "A.example.com")
        assert source.asked == ["a.example.com"]
        assert not server.knows_secret("none.example.com"), "nobody asks for it any more"
    finally:
        task.cancel()


async def test_what_is_beyond_the_bound_is_taken_away_oldest_first() -> None:
    server = XdsServer()
    task = asyncio.create_task(SecretKeeper(server, Source(), "d.org", most=2).run())
    try:
        await asked(server, CLOUD, "a.org")
        await asked(server, CLOUD, "a.org", "b.org", "c.org")
        assert CLOUD in server.table[SECRET] and "a.org" not in server.table[SECRET]
    finally:
        task.cancel()


async def test_a_question_that_fails_leaves_what_there_is() -> None:
    server, source = XdsServer(), Source()
    keeper = SecretKeeper(server, source, "d.org")
    task = asyncio.create_task(keeper.run())
    try:
        await asked(server, "a.org")
        source.fails = True
        keeper.changed(["a.org"])
        await asked(server, "a.org")
        assert "a.org" in server.table[SECRET]
    finally:
        task.cancel()
