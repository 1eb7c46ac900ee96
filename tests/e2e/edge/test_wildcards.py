"""Wildcards of an app take what is theirs, and nothing of other apps that sleep or are deeper below."""

from __future__ import annotations

import pytest
from tests.e2e.edge.edge_harness import App, Bench, serving

from roost.edge import wildcards
from roost.edge.contract import Endpoint, Route
from roost.edge.wildcards import LONGEST, MOST


async def test_a_wildcard_takes_one_label_and_no_other_apps_names(at: Bench) -> None:
    async with serving(App(name="wild")) as wild:
        endpoint = Endpoint("w", "127.0.0.1", wild.port)
        hosts, others = ("wild.localhost", "*.shop.example", "shop.example"), ("login.shop.example",)
        at.waker.apps["login.shop.example"] = at.waker.apps["a.b.shop.example"] = ("hello", at.endpoint)

        async def app_at(host: str) -> tuple[int, str]:
            before = wild.requests
            answer = await at.get(host=host)
            return answer.status, "wild" if wild.requests > before else ""

        await at.edge.put(Route("wild", hosts, (endpoint,), others=others))
        for host in ("wild.localhost", "x.shop.example", "X.SHOP.example:80", "shop.example"):
            assert await app_at(host) == (200, "wild"), host
        for host in ("login.shop.example", "LOGIN.shop.example:8080", "a.b.shop.example"):
            assert await app_at(host) == (200, ""), host
        assert await app_at("c.d.shop.example") == (404, "")
        await at.edge.put(at.route())
        assert await app_at("x.shop.example") == (200, "wild")
        await at.edge.put(Route("wild", hosts, (endpoint,)))
        assert await app_at("login.shop.example") == (200, "wild"), "it is nobody's any more"
        long = f"*.{'a' * (LONGEST - 14)}.example.com"
        assert len(long) == LONGEST
        others = tuple(f"{number:02}{'b' * (LONGEST - 17)}.shop.example" for number in range(MOST))
        assert max(map(len, others)) <= LONGEST
        await at.edge.put(Route("wild", (*hosts, long), (endpoint,), others=others))  # Envoy takes it
        assert await app_at("x.shop.example") == (200, "wild")
        assert await app_at(f"x{long[1:]}") == (200, "wild")
        assert await app_at(others[0]) == (404, "")
        for more in ((f"*.{'a' * 63}.example.com",), ()):
            beyond = others if more else (*others, "one.shop.example")
            at.waker.apps["x.shop.example"] = ("wild", endpoint)
            await at.edge.put(Route("wild", (*hosts, *more), (endpoint,), others=beyond))
            calls = at.waker.calls
            assert await app_at("x.shop.example") == (200, "wild"), "by way of the activator"
            assert at.waker.calls > calls
            assert await app_at("shop.example") == (200, "wild")
        await at.edge.remove("wild")


async def test_a_route_that_envoy_refuses_holds_up_no_other(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wildcards, "LONGEST", 250)
    bad = Route("bad", (f"*.{'a' * 63}.{'b' * 63}.example.com",), (at.endpoint,))
    await at.edge.replace_all([bad, at.route()])
    assert (await at.get()).status == 200
    assert at.waker.calls == 0, "it is routed"
    await at.edge.replace_all([at.route()])
