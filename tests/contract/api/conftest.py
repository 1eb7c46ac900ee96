"""An API over the control plane in memory, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from fastapi import FastAPI
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_world import ADMIN

from roost.api.app import create_api
from roost.api.idempotency import Idempotency
from roost.api.limits import Limits
from roost.api.long_calls import LongCalls
from roost.api.rates import Rates, RateSettings
from roost.control.contract import Control

BASE = "http://127.0.0.1"
LIMITS = Limits(json_body=200_000, source_body=300_000, silence=2.0, keep_alive=0.05)


@pytest.fixture
def control() -> Iterator[FakeControl]:
    fake = FakeControl()
    typed: Control = fake  # the fake keeps the contract: mypy and this line say so
    assert typed is fake
    yield fake
    for console in fake.world.consoles:
        console.close()


@pytest.fixture(scope="session")
def built() -> FastAPI:
    """An API that is made once: making one takes longer than most tests of it."""
    return create_api(FakeControl(), allowed_hosts=["cloud.test"], limits=LIMITS)


@pytest.fixture
def api(built: FastAPI, control: FakeControl) -> FastAPI:
    """The API over this test's control plane. Metrics and the audit log are of `new_api` only."""
    built.state.control = control
    built.state.limits = LIMITS
    built.state.long_calls = LongCalls(LIMITS)
    built.state.idempotency = Idempotency()
    built.state.rates = Rates(RateSettings())
    return built


@pytest.fixture
def new_api(control: FakeControl) -> FastAPI:
    """An API of this test's own, with metrics and an audit log that no other test has part in."""
    return create_api(control, allowed_hosts=["cloud.test"], limits=LIMITS)


@pytest.fixture
async def client(api: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=api)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE, headers=ADMIN, timeout=10) as found:
        yield found


@pytest.fixture
async def stranger(api: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without a token."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=api), base_url=BASE, timeout=10) as found:
        yield found
