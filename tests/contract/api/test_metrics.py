"""What Prometheus is told."""

from __future__ import annotations

import httpx2
import pytest
from fastapi import FastAPI


@pytest.fixture
def api(new_api: FastAPI) -> FastAPI:
    return new_api


async def test_metrics(client: httpx2.AsyncClient, api: FastAPI) -> None:
    await client.get("/v1/apps/one")
    await client.get("/v1/apps/two")
    await client.get("/whatever")
    text = (await client.get("/metrics")).text
    assert 'roost_api_requests_total{method="GET",route="/v1/apps/{app}",status="404"} 2.0' in text
    assert 'route="unknown",status="404"} 1.0' in text
    assert 'roost_machines{state="started"} 1.0' in text
    assert "roost_pool_used_bytes 10.0" in text
    assert "roost_edge_connected 1.0" in text
    assert 'roost_app_answers_total{app="myapp",status="2xx"} 2.0' in text
    assert 'roost_app_errors_total{app="myapp",error="app_closed_connection",fault="app"} 1.0' in text
    assert 'roost_app_latency_seconds{app="myapp",part="total",quantile="0.99"} 0.0' in text
    assert 'roost_edge_errors_total{error="no_such_app",fault="none"} 7.0' in text
    assert "roost_requests_not_logged_total 4.0" in text
