"""What Prometheus is told."""

from __future__ import annotations

import httpx2
from fastapi import FastAPI


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
