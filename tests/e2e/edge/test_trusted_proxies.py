"""Proxies before the edge: those that the operator named tell who the client is, and nobody else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.edge.edge_harness import Answer, AnyName, bench

from roost.model.rate_limit import RateLimit, RateLimits

SAID = {
    "x-real-ip": "6.6.6.6", "true-client-ip": "6.6.6.6", "cf-connecting-ip": "6.6.6.6", "forwarded": "for=6.6.6.6",
    "x-forwarded-host": "shop.example", "x-forwarded-proto": "https", "x-forwarded-for": "6.6.6.6, 9.9.9.9, 192.0.2.8",
}  # fmt: skip
LINES = "".join(f"{name}: {value}\r\n" for name, value in SAID.items())


def claims(answer: Answer) -> set[str]:
    """Return what of the client's words the app got."""
    told = answer.json()
    return {name for name in SAID if told.get(name) == SAID[name]}


async def test_without_any_nothing_that_a_client_says_of_itself_is_believed(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        await at.edge.put(at.route())
        for host in ("hello.localhost", "asleep.localhost"):
            at.waker.apps[host] = ("hello", at.endpoint)
            answer = await at.get("/", host, headers=LINES)
            assert not claims(answer)
            told = answer.json()
            assert told["fly-client-ip"] == "127.0.0.1"
            assert told["x-forwarded-for"] == f"{SAID['x-forwarded-for']},127.0.0.1"
            assert (told["x-forwarded-proto"], told["x-forwarded-ssl"]) == ("http", "off")


@pytest.mark.parametrize("cells", [1, 3])
async def test_a_trusted_proxy_tells_of_the_client(tmp_path: Path, cells: int) -> None:
    proxies = ("127.0.0.0/8", "192.0.2.0/24")
    async with bench(tmp_path, certificates=AnyName(), cells=cells, proxies=proxies, by_address=RateLimit(1, 4)) as at:
        once = RateLimits(by_address=RateLimit(0.01, 2))
        await at.edge.put(at.route(force_https=True, limits=once))
        answer = await at.get("/told", headers=LINES)
        assert answer.status == 200, "it came by TLS, the proxy says"
        assert claims(answer) == set(SAID) - {"x-forwarded-for"}
        told = answer.json()
        assert told["fly-client-ip"] == "9.9.9.9"
        assert told["x-forwarded-for"] == f"{SAID['x-forwarded-for']},127.0.0.1"
        assert (told["x-forwarded-proto"], told["x-forwarded-ssl"]) == ("https", "on")
        assert (await at.logged("/told")).client == "9.9.9.9"
        assert (await at.get()).status == 301
        secure = "x-forwarded-proto: https\r\n"
        limited = [(await at.get(headers=f"{secure}x-forwarded-for: 9.9.9.7\r\n")).status for _ in range(3)]
        assert limited == [200, 200, 429], "the app's limit is the client's"
        at.waker.apps["other.localhost"] = ("other", at.endpoint)
        await at.edge.put(replace(at.route(), app="other", hosts=("other.localhost",)))
        asked = [
            (await at.get("/", "other.localhost", headers="x-forwarded-for: 9.9.9.6\r\n")).status for _ in range(6)
        ]
        assert asked[:4] == [200] * 4
        assert 429 in asked, "the operator's limit is the client's too"
        assert (await at.get("/", "other.localhost", headers="x-forwarded-for: 9.9.9.5\r\n")).status == 200
