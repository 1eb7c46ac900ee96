"""An API over the control plane in memory, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from fastapi import FastAPI
from tests.contract.api.fake_control import ADMIN, FakeControl

from roost.api.app import create_api
from roost.api.idempotency import Idempotency
from roost.api.limits import Limits
from roost.api.long_calls import LongCalls
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


@pytest.fixture
def api(control: FakeControl) -> FastAPI:
    return create_api(control, allowed_hosts=["cloud.test"], limits=LIMITS)


@pytest.fixture(scope="session")
def built() -> FastAPI:
    """An API that is made once: making one takes longer than most tests of it."""
    return create_api(FakeControl(), allowed_hosts=["cloud.test"], limits=LIMITS)


@pytest.fixture
def rewired(built: FastAPI, control: FakeControl) -> FastAPI:
    """The same API over this test's control plane, for tests that don't look at its metrics."""
    built.state.control = control
    built.state.long_calls = LongCalls(LIMITS)
    built.state.idempotency = Idempotency()
    return built


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
