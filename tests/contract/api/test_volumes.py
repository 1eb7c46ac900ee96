"""Volumes through the API: shapes, bounds, refusals."""

from __future__ import annotations

from dataclasses import replace

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl

PATH = "/v1/apps/shop/volumes"
KEYS = {
    "id", "name", "state", "size_gb", "region", "zone", "encrypted", "attached_machine_id", "attached_alloc_id",
    "created_at", "blocks", "block_size", "blocks_free", "blocks_avail", "bytes_used", "bytes_total", "fstype",
    "snapshot_retention", "auto_backup_enabled", "host_status", "type", "updated_at", "host_dedication_id",
}  # fmt: skip


@pytest.fixture
async def volume(client: httpx2.AsyncClient) -> str:
    assert (await client.post("/v1/apps", json={"name": "shop"})).status_code == 201
    made = await client.post(PATH, json={"name": "data", "size_gb": 2, "encrypted": True, "require_unique_zone": False})
    assert made.status_code == 200, made.text
    return str(made.json()["id"])


async def test_a_volumes_life(client: httpx2.AsyncClient, volume: str) -> None:
    shown = (await client.get(f"{PATH}/{volume}")).json()
    assert set(shown) == KEYS
    assert (shown["encrypted"], shown["size_gb"], shown["snapshot_retention"], shown["attached_machine_id"]) == (
        False, 2, 5, None,
    )  # fmt: skip
    assert [v["id"] for v in (await client.get(PATH)).json()] == [volume]
    assert "blocks" not in (await client.get(PATH, params={"summary": "true"})).json()[0]
    changed = await client.put(f"{PATH}/{volume}", json={"snapshot_retention": 9, "auto_backup_enabled": False})
    assert (changed.json()["snapshot_retention"], changed.json()["auto_backup_enabled"]) == (9, False)
    extended = (await client.put(f"{PATH}/{volume}/extend", json={"size_gb": 4})).json()
    assert (extended["volume"]["size_gb"], extended["needs_restart"]) == (4, False)
    assert (await client.put(f"{PATH}/{volume}/extend", json={"size_gb": 1})).status_code == 400
    taken = (await client.post(f"{PATH}/{volume}/snapshots")).json()
    assert set(taken) == {
        "id", "volume_id", "size", "volume_size", "digest", "status", "retention_days", "created_at",
    }  # fmt: skip
    assert [s["id"] for s in (await client.get(f"{PATH}/{volume}/snapshots")).json()] == [taken["id"]]
    assert (await client.get("/v1/apps/shop")).json()["volume_count"] == 1
    assert (await client.delete(f"{PATH}/{volume}")).status_code == 200
    assert (await client.get(f"{PATH}/{volume}")).status_code == 404


async def test_copies(client: httpx2.AsyncClient, control: FakeControl, volume: str) -> None:
    await client.post(PATH, json={"name": "copy", "source_volume_id": volume})
    await client.post(PATH, json={"name": "old", "snapshot_id": "vs_0123456789abcdef", "size_gb": 3})
    assert control.world.asked[-2:] == [
        ("volume", "copy", 0, "", volume),
        ("volume", "old", 3, "vs_0123456789abcdef", ""),
    ]


async def test_an_attached_one_is_not_destroyed(client: httpx2.AsyncClient, control: FakeControl, volume: str) -> None:
    held = replace(control.world.volumes[volume], attached_machine_id="00000000000001")
    control.world.volumes[volume] = held
    assert (await client.get(f"{PATH}/{volume}")).json()["attached_machine_id"] == "00000000000001"
    refused = await client.delete(f"{PATH}/{volume}")
    assert (refused.status_code, refused.json()["status"]) == (412, "failed_precondition")


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": "No"}, {"name": "a" * 31}, {"name": "data", "size_gb": 0}, {"name": "data", "size_gb": 501},
        {"name": "data", "snapshot_retention": 61}, {"name": "data", "fstype": "raw"}, {"name": "data", "unknown": 1},
        {"name": "data", "snapshot_id": "../x"}, {"name": "data", "source_volume_id": "data"},
        {"name": "data", "size_gb": "1"}, {"name": "data", "compute": "cpus"},
    ],
)  # fmt: skip
async def test_what_can_not_be_is_refused(client: httpx2.AsyncClient, volume: str, body: dict[str, object]) -> None:
    answer = await client.post(PATH, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["status"] == "bad_input"


@pytest.mark.parametrize("ident", ["data", "vol_", "vol_0123456789ABCDEF", "vol_..%2f..%2fx"])
async def test_no_other_text_is_an_id(client: httpx2.AsyncClient, volume: str, ident: str) -> None:
    assert (await client.get(f"{PATH}/{ident}")).status_code in (400, 404)
