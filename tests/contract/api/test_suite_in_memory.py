"""The shared suite on the control plane in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from tests.contract.api.fake_world import ADMIN_TOKEN
from tests.contract.api.live_server import served
from tests.contract.api.machine_suite import MachineSuite
from tests.contract.api.suite import ApiSuite


class TestInMemory(ApiSuite, MachineSuite):
    @pytest.fixture
    async def address(self, api: FastAPI) -> AsyncIterator[str]:
        async with served(api) as found:
            yield found

    @pytest.fixture
    def token(self) -> str:
        return ADMIN_TOKEN
