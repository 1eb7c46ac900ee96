"""Calls that come too often, where the operator has asked for limits."""

from __future__ import annotations

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_world import ADMIN

from roost.api.app import create_api
from roost.api.rates import MANY, Rate, Rates, RateSettings
from roost.model.errors import RateLimited


async def test_too_many_calls(control: FakeControl) -> None:
    api = create_api(control, rates=RateSettings(enabled=True))
    transport = httpx2.ASGITransport(app=api)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=ADMIN) as client:
        await client.post("/v1/apps", json={"name": "a"})
        machines = "/v1/apps/a/machines"
        made = [await client.post(machines, json={"config": {"image": "x"}}) for _ in range(4)]
        assert [answer.status_code for answer in made] == [200, 200, 200, 429]
        assert made[3].json()["status"] == "rate_limited"
        assert made[3].headers["retry-after"] == "1"
        urls = [f"{machines}/{answer.json()['id']}" for answer in made[:2]]
        got = [(await client.get(urls[0])).status_code for _ in range(11)]
        assert got == [200] * 10 + [429]
        for url in urls:
            codes = [
                (await client.post(f"{url}/{verb}")).status_code for verb in ("start", "suspend") for _ in range(4)
            ]
            assert codes == [200, 200, 200, 429] * 2
        assert all([(await client.get(machines)).status_code == 200 for _ in range(20)])
        unknown = [(await client.post("/v1/apps/a/machines", headers={"Authorization": "x"})) for _ in range(3)]
        assert {answer.status_code for answer in unknown} == {401}


async def test_off_unless_asked_for(client: httpx2.AsyncClient) -> None:
    codes = [(await client.post("/v1/apps/nobody/secrets", json={"values": {}})).status_code for _ in range(20)]
    assert set(codes) == {404}


def test_calls_come_back_with_time() -> None:
    rates, rate = Rates(RateSettings(enabled=True)), Rate(1.0, 3.0)
    for _ in range(3):
        rates.count(("a",), rate, 100.0)
    with pytest.raises(RateLimited):
        rates.count(("a",), rate, 100.9)
    rates.count(("a",), rate, 101.0)
    with pytest.raises(RateLimited):
        rates.count(("a",), rate, 101.5)
    rates.count(("b",), rate, 101.5)
    for number in range(MANY + 10):
        rates.count((str(number),), rate, 102.0)
    assert len(rates._buckets) <= MANY
