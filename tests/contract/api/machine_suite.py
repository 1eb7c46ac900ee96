"""What the API promises of updates, leases, metadata and the like: on the control plane in memory and on a cloud."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import httpx2
import pytest
from tests.contract.api.suite import CONFIG, SLEEPER

NONCE = "fly-machine-lease-nonce"


class MachineSuite:
    """Inherit from it beside `ApiSuite`, whose fixtures it uses."""

    async def test_update(self, http: httpx2.AsyncClient, machine: str) -> None:
        before = (await http.get(machine)).json()
        body = {"config": CONFIG | {"env": {"NEW": "yes"}}, "current_version": before["instance_id"]}
        answer = await http.post(machine, json=body | {"name": before["name"], "region": before["region"]})
        assert answer.status_code == 200, answer.text
        after = answer.json()
        assert (after["state"], after["config"]["env"]) == ("started", {"NEW": "yes"})
        assert after["instance_id"] > before["instance_id"]
        assert after["version"] == after["instance_id"]
        for field in ("id", "name", "region", "private_ip", "created_at"):
            assert after[field] == before[field], field
        versions = (await http.get(f"{machine}/versions")).json()
        assert [v["version"] for v in versions] == [after["instance_id"], before["instance_id"]]
        assert [v["user_config"]["env"] for v in versions] == [{"NEW": "yes"}, {}]
        late = await http.post(machine, json=body)
        assert (late.status_code, late.json()["status"]) == (409, "conflict")
        for wrong in ({"name": "another"}, {"region": "mars"}, {"colour": 1}, {"config": {}}):
            refused = await http.post(machine, json={"config": CONFIG} | wrong)
            assert (refused.status_code, refused.json()["status"]) == (400, "bad_input"), wrong
        assert (await http.get(machine)).json()["instance_id"] == after["instance_id"]

    async def test_update_that_does_not_launch(self, http: httpx2.AsyncClient, machine: str) -> None:
        stopped = (await http.post(machine, json={"config": CONFIG, "skip_launch": True})).json()
        assert stopped["state"] == "stopped"
        again = (await http.post(machine, json={"config": CONFIG | {"env": {"B": "1"}}})).json()
        assert again["state"] == "stopped"
        assert again["instance_id"] != stopped["instance_id"]

    async def test_metadata(self, http: httpx2.AsyncClient, machine: str) -> None:
        url, version = f"{machine}/metadata", (await http.get(machine)).json()["instance_id"]
        assert (await http.get(url)).json() == {"role": "suite"}
        put = await http.put(url, json={"metadata": {"a": "1", "b/ä c": "2", "role": None}, "machine_version": version})
        assert (put.status_code, put.json()) == (200, {"a": "1", "b/ä c": "2"})
        assert (await http.patch(url, json={"metadata": {"a": "", "c": "3"}})).json() == {"b/ä c": "2", "c": "3"}
        late = await http.put(url, json={"metadata": {"x": "1"}, "machine_version": "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
        assert (late.status_code, late.json()["status"]) == (412, "failed_precondition")
        since = (await http.get(machine)).json()["updated_at"]
        assert (await http.patch(url, json={"metadata": {"d": "4"}, "updated_at": since})).status_code == 200
        late = await http.patch(url, json={"metadata": {"d": "5"}, "updated_at": "2020-01-01T00:00:00Z"})
        assert late.status_code == 412
        assert (await http.get(f"{url}/d")).json() == {"value": "4"}
        answer = await http.post(f"{url}/d", json={"value": "6"})
        assert (answer.status_code, answer.content) == (204, b"")
        for _ in range(2):
            assert (await http.delete(f"{url}/c")).status_code == 204
        assert (await http.get(f"{url}/c")).status_code == 404
        assert (await http.get(url)).json() == {"b/ä c": "2", "d": "6"}
        for bad in ({"metadata": {"": "x"}}, {"metadata": {"a": 1}}, {"metadata": {"a\0": "1"}}, {"updated_at": "x"}):
            assert (await http.put(url, json=bad)).status_code == 400, bad
        found = (await http.get(machine)).json()
        assert (found["state"], found["instance_id"]) == ("started", version)
        listing = machine.rpartition("/")[0]
        assert (await http.get(listing, params={"metadata.d": "6"})).json()[0]["id"] == found["id"]

    async def test_leases(self, http: httpx2.AsyncClient, machine: str) -> None:
        url = f"{machine}/lease"
        assert (await http.get(url)).json()["error"] == "lease not found"
        made = await http.post(url, json={"ttl": 60, "description": "a deploy"})
        lease = made.json()
        assert (made.status_code, lease["status"]) == (201, "success")
        assert lease["data"].items() <= lease.items()
        assert set(lease["data"]) == {"nonce", "expires_at", "owner", "description", "version"}
        mine = {NONCE: lease["nonce"]}
        for answer in (
            await http.post(url, params={"ttl": 5}),
            await http.post(url, headers={NONCE: "f" * 32}),
            await http.post(f"{machine}/start"),
            await http.post(f"{machine}/stop", headers={NONCE: "x"}),
            await http.post(f"{machine}/restart"),
            await http.post(f"{machine}/suspend"),
            await http.post(f"{machine}/cordon"),
            await http.post(machine, json={"config": CONFIG}),
            await http.delete(machine, params={"force": "true"}),
            await http.delete(url),
        ):
            assert (answer.status_code, answer.json()["status"]) == (409, "conflict"), answer.request.url
            assert lease["nonce"] not in answer.text
            assert answer.json()["owner"] == lease["owner"]
            assert answer.json()["expires_at"] == str(lease["expires_at"])
        assert "nonce" not in (await http.get(url)).json()
        assert (await http.get(url, headers=mine)).json()["nonce"] == lease["nonce"]
        listed = (await http.get(machine.rpartition("/")[0], params={"include_leases": "true"})).json()[0]
        assert listed["lease"]["owner"] == lease["owner"]
        assert lease["nonce"] not in str(listed)
        again = (await http.post(url, params={"ttl": 600}, headers=mine)).json()
        assert (again["nonce"], again["version"]) == (lease["nonce"], lease["version"])
        assert again["expires_at"] > lease["expires_at"] + 500
        assert (await http.post(f"{machine}/start", headers=mine)).status_code == 200
        assert (await http.post(machine, json={"config": CONFIG}, headers=mine)).status_code == 200
        assert (await http.delete(url, headers=mine)).status_code == 200
        assert (await http.delete(url, headers=mine)).status_code == 404
        assert (await http.post(f"{machine}/start")).status_code == 200

    async def test_lease_ends(self, http: httpx2.AsyncClient, machine: str) -> None:
        lease = (await http.post(f"{machine}/lease", json={"ttl": 1})).json()
        async with asyncio.timeout(10):
            while (await http.post(f"{machine}/start")).status_code == 409:
                await asyncio.sleep(0.1)
        assert (await http.post(f"{machine}/lease", headers={NONCE: lease["nonce"]})).status_code == 404
        assert (await http.post(f"{machine}/lease")).status_code == 201

    async def test_lease_from_the_start(self, http: httpx2.AsyncClient, app: str) -> None:
        url = f"/v1/apps/{app}/machines"
        made = (await http.post(url, json={"config": CONFIG, "skip_launch": True, "lease_ttl": 30})).json()
        assert (await http.delete(f"{url}/{made['id']}")).status_code == 409
        assert "nonce" not in (await http.get(f"{url}/{made['id']}")).json()
        assert (await http.delete(f"{url}/{made['id']}", headers={NONCE: made["nonce"]})).status_code == 200

    async def test_cordon(self, http: httpx2.AsyncClient, machine: str) -> None:
        for verb, cordoned in (("cordon", True), ("cordon", True), ("uncordon", False)):
            assert (await http.post(f"{machine}/{verb}")).json() == {"ok": True}
            found = (await http.get(machine)).json()
            assert (found["cordoned"], found["state"]) == (cordoned, "started")

    async def test_processes(self, http: httpx2.AsyncClient, machine: str) -> None:
        found = (await http.get(f"{machine}/ps")).json()
        keys = {"pid", "command", "directory", "cpu", "rss", "rtime", "stime", "listen_sockets"}
        assert all(set(process) == keys for process in found)
        assert found[0]["pid"] == 1
        assert found[0]["command"].startswith("sh -c")
        assert found[0]["rss"] > 0
        ordered = (await http.get(f"{machine}/ps", params={"sort_by": "rss", "order": "desc"})).json()
        assert [p["rss"] for p in ordered] == sorted((p["rss"] for p in ordered), reverse=True)
        for bad in ({"sort_by": "colour"}, {"order": "up"}):
            assert (await http.get(f"{machine}/ps", params=bad)).status_code == 400
        await http.post(f"{machine}/stop", json={"signal": 9})
        assert (await http.get(f"{machine}/ps")).status_code == 412

    async def test_memory(self, http: httpx2.AsyncClient, machine: str) -> None:
        url = f"{machine}/memory"
        found = (await http.get(url)).json()
        assert found["limit_mb"] == 256
        assert 0 < found["available_mb"] < 256
        assert (await http.put(url, json={"limit_mb": 128})).json()["limit_mb"] == 128
        assert (await http.get(url)).json()["limit_mb"] == 128
        assert (await http.put(url, json={"limit_mb": 256})).json()["limit_mb"] == 256
        for bad in (0, 1, 257, "128", None):
            assert (await http.put(url, json={"limit_mb": bad})).status_code == 400

    async def test_wait_from_an_event(self, http: httpx2.AsyncClient, machine: str) -> None:
        begin = (await http.get(f"{machine}/wait")).json()["event_id"]
        await http.post(f"{machine}/stop", json={"signal": 9})
        await http.post(f"{machine}/start")
        query: dict[str, Any] = {"state": "stopped", "from_event_id": begin, "timeout": "1"}
        seen = (await http.get(f"{machine}/wait", params=query)).json()
        assert (seen["ok"], seen["state"]) == (True, "stopped")
        assert seen["event_id"] > begin
        none = await http.get(f"{machine}/wait", params=query | {"from_event_id": seen["event_id"]})
        assert none.status_code == 408

    async def test_machines_of_an_org(self, http: httpx2.AsyncClient) -> None:
        org, ids = f"org-{secrets.token_hex(4)}", []
        apps = [f"{org}-{number}" for number in range(2)]
        for app in apps:
            assert (await http.post("/v1/apps", json={"name": app, "org_slug": org})).status_code == 201
            for _ in range(2):
                made = await http.post(f"/v1/apps/{app}/machines", json={"config": SLEEPER, "skip_launch": True})
                ids.append(made.json()["id"])
        url = f"/v1/orgs/{org}/machines"
        whole = (await http.get(url)).json()
        assert [machine["id"] for machine in whole["machines"]] == ids
        assert {machine["app_name"] for machine in whole["machines"]} == set(apps)
        assert (whole["next_cursor"], whole["last_machine_id"], whole["error_regions"]) == ("", ids[-1], [])
        pages, cursor = [], ""
        while True:
            page = (await http.get(url, params={"limit": 3, "cursor": cursor, "summary": "true"})).json()
            pages.append([machine["id"] for machine in page["machines"]])
            assert all("config" not in machine for machine in page["machines"])
            cursor = page["next_cursor"]
            if not cursor:
                break
        assert pages == [ids[:3], ids[3:]]
        await http.put(f"/v1/apps/{apps[0]}/machines/{ids[0]}/metadata", json={"metadata": {"a": "1"}})
        newer = (await http.get(url, params={"updated_after": whole["last_updated_at"]})).json()["machines"]
        assert newer[-1]["id"] == ids[0]
        assert len(newer) <= 2
        for query, count in (({"state": "created,started"}, 4), ({"state": "started"}, 0), ({"region": "mars"}, 0)):
            assert len((await http.get(url, params=query)).json()["machines"]) == count, query
        for bad in ({"cursor": "x"}, {"limit": "0"}, {"limit": "1001"}, {"state": "happy"}, {"updated_after": "x"}):
            assert (await http.get(url, params=bad)).status_code == 400, bad
        assert (await http.get("/v1/orgs/nobody-has-this/machines")).json()["machines"] == []
        for app in apps:
            assert (await http.delete(f"/v1/apps/{app}", params={"force": "true"})).status_code == 202

    async def test_platform(self, http: httpx2.AsyncClient) -> None:
        found = (await http.get("/v1/platform/regions")).json()
        assert found["regions"] == found["Regions"]
        assert found["regions"][0]["code"] == found["nearest"] == found["Nearest"] == "local"
        placed = await http.post(
            "/v1/platform/placements", json={"org_slug": "personal", "region": "lhr,eu", "count": 3, "compute": {}}
        )
        assert placed.json() == {"regions": [{"region": "local", "count": 3, "concurrency": 3}]}

    @pytest.mark.parametrize("path", ["/lease", "/metadata", "/metadata/a", "/versions", "/ps", "/memory"])
    async def test_parts_of_an_unknown_machine(self, http: httpx2.AsyncClient, app: str, path: str) -> None:
        answer = await http.get(f"/v1/apps/{app}/machines/00000000000001{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, "machine not found")
