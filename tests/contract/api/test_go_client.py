"""The calls that the Go client and its command line send, as they send them, and what they decode of the answers.

Bodies are those of encoding/json: no spaces, fields in the order of the structs, a struct with `omitempty` is sent all
the same ("timeout":"0s"), pointers that are nil as null. A client that gets an answer it can't decode stops.
"""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from tests.contract.api import go_structs
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_world import ADMIN_TOKEN
from tests.contract.api.go_json import Type

APP = "/apps/myapp"
M = f"{APP}/machines"
CONFIG: dict[str, Any] = {
    "env": {"FLY_PROCESS_GROUP": "app", "PRIMARY_REGION": "local"},
    "init": {},
    "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 1024},
    "metadata": {
        "fly_flyctl_version": "0.3.200",
        "fly_platform_version": "v2",
        "fly_process_group": "app",
        "fly_release_id": "kX1GZqk8bR4w2",
        "fly_release_version": "1",
    },
    "services": [
        {
            "protocol": "tcp",
            "internal_port": 8080,
            "autostop": True,
            "autostart": True,
            "min_machines_running": 0,
            "ports": [
                {"port": 80, "handlers": ["http"], "force_https": True},
                {"port": 443, "handlers": ["http", "tls"]},
            ],
            "checks": [{"type": "tcp", "interval": "15s", "timeout": "2s", "grace_period": "1m0s"}],
            "concurrency": {"type": "requests", "hard_limit": 250, "soft_limit": 200},
            "force_instance_key": None,
        }
    ],
    "checks": {"alive": {"port": 8080, "type": "http", "interval": "30s", "path": "/up", "method": "get"}},
    "image": "registry.fly.io/myapp:deployment-01J",
    "restart": {},
}


class Go:
    """Sends as fly-go does: its headers, one body form, no retries."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def call(
        self, method: str, path: str, body: Any = ..., out: Type | None = None, *, nonce: str = "", code: int = 0
    ) -> Any:
        """Return what is decoded; `code` 0 is any success, as for the client."""
        headers = {"Authorization": f"FlyV1 {ADMIN_TOKEN}", "User-Agent": "flyctl/0.3.200", "Accept-Encoding": "gzip"}
        headers |= {"fly-machine-lease-nonce": nonce} if nonce else {}
        content = None
        if body is not ...:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, separators=(",", ":")).encode()
        answer = await self.http.request(method, f"/v1{path}", content=content, headers=headers)
        assert answer.status_code == code or (not code and 200 <= answer.status_code <= 299), answer.text
        assert answer.headers["fly-request-id"]
        if answer.status_code > 299:
            return go_structs.error(answer.json(), "error")
        return out(answer.json(), path) if out else None


@pytest.fixture
def go(stranger: httpx2.AsyncClient) -> Go:
    return Go(stranger)


def launch(**more: Any) -> dict[str, Any]:
    """`fly.LaunchMachineInput`: `skip_secrets` is always sent."""
    return {"config": CONFIG, "region": "local", "skip_secrets": False} | more


@pytest.fixture
async def app(go: Go) -> dict[str, Any]:
    body = {"name": "myapp", "org_slug": "personal", "network": "", "app_role_id": ""}
    made: dict[str, Any] = await go.call("POST", "/apps?wait=true", body, go_structs.app)
    return made


async def test_launch(go: Go, app: dict[str, Any]) -> None:
    assert (app["name"], app["organization"]["slug"], app["cname_target"]) == ("myapp", "personal", "myapp.roost.test")
    assert (await go.call("GET", APP, out=go_structs.app)) == app
    listed = await go.call("GET", "/apps?app_role=&org_slug=personal", out=go_structs.apps)
    assert [one["name"] for one in listed["apps"]] == ["myapp"]
    taken = await go.call("POST", "/apps?wait=true", {"name": "myapp", "org_slug": "personal", "network": "",
                          "app_role_id": ""}, code=422)  # fmt: skip
    assert taken["status"] == "name_taken"
    assert "Name has already been taken" in taken["error"]
    free = await go.call("GET", "/apps/nobodys", code=404)
    assert free["error"]
    where = await go.call("GET", "/platform/regions", out=go_structs.regions)
    assert (where["Nearest"], where["Regions"][0]["code"]) == ("local", "local")
    wanted = {"compute": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}, "region": "local,any", "count": 2,
              "volume_name": "", "volume_size_bytes": 0, "weights": None, "org_slug": "personal"}  # fmt: skip
    placed = await go.call("POST", "/platform/placements", wanted, go_structs.placements)
    assert placed["Regions"] == [{"Region": "local", "Count": 2, "Concurrency": 2}]
    address = {"type": "shared_v4", "region": "", "org_slug": "", "network": "", "service_name": ""}
    assert (await go.call("POST", f"{APP}/ip_assignments", address, go_structs.address))["ip"]
    assert len((await go.call("GET", f"{APP}/ip_assignments", out=go_structs.addresses))["ips"]) == 1


async def test_deploy_and_update_under_a_lease(go: Go, app: dict[str, Any], control: FakeControl) -> None:
    made = await go.call("POST", M, launch(skip_launch=False, lease_ttl=13), go_structs.machine)
    one, nonce = f"{M}/{made['id']}", made["nonce"]
    assert (made["region"], made["config"]["services"][0]["autostop"]) == ("local", "stop")
    waited = f"{one}/wait?state=started&timeout=60&version={made['instance_id']}"
    await go.call("GET", waited)
    again = await go.call("POST", f"{one}/lease?ttl=13", out=go_structs.lease, nonce=nonce)
    assert (again["status"], again["data"]["nonce"]) == ("success", nonce)
    held = await go.call("POST", f"{one}/lease?ttl=13", code=409)
    assert held["error"]
    assert nonce not in held["error"]
    found = await go.call("GET", f"{one}/lease", out=go_structs.lease)
    assert found["data"]["owner"] == again["data"]["owner"]
    assert not found["data"].get("nonce")
    new = CONFIG | {"image": "registry.fly.io/myapp:deployment-02J"}
    assert (await go.call("POST", one, launch(config=new, name=made["name"]), code=409))["error"]
    body = launch(config=new, name=made["name"], min_secrets_version=0)
    updated = await go.call("POST", one, body, go_structs.machine, nonce=nonce)
    assert updated["instance_id"] != made["instance_id"]
    version = updated["instance_id"]
    query = f"instance_id={version}&state=started&timeout=1&version={version}"
    await go.call("GET", f"{one}/wait?{query}")
    await go.call("GET", f"{one}/wait?state=started&state=stopped&timeout=300&version={version}")
    assert control.world.asked[-1] == ("wait", frozenset({"started", "stopped"}), version, 60.0)
    assert (await go.call("GET", f"{one}/wait?state=suspended&timeout=1", code=408))["status"] == "deadline_exceeded"
    checked = await go.call("GET", one, out=go_structs.machine)
    assert checked["image_ref"]["labels"] == {"fly.version": "1.2"}
    assert checked["checks"][0]["status"] == "passing"
    await go.call("DELETE", f"{one}/lease", nonce=nonce)
    assert (await go.call("GET", f"{one}/lease", code=404))["error"] == "lease not found"


async def test_stop_restart_kill_and_destroy(go: Go, app: dict[str, Any], control: FakeControl) -> None:
    made = await go.call("POST", M, launch(), go_structs.machine)
    one, ident = f"{M}/{made['id']}", made["id"]
    await go.call("POST", f"{one}/stop", {"id": ident, "timeout": "0s"})
    assert control.world.asked[-1] == ("stop", "", None), "the zero duration that Go sends is none"
    await go.call("POST", f"{one}/stop", {"id": ident, "signal": "SIGTERM", "timeout": "1m30s"})
    assert control.world.asked[-1] == ("stop", "SIGTERM", 90.0)
    assert (await go.call("POST", f"{one}/stop", {"id": "0" * 14, "timeout": "0s"}, code=400))["error"]
    assert (await go.call("POST", f"{one}/start", out=go_structs.started))["previous_state"] == "stopped"
    await go.call("POST", f"{one}/restart?force_stop=false&timeout=5s&signal=SIGINT")
    assert control.world.asked[-1] == ("restart", "SIGINT", 5.0, False)
    await go.call("POST", f"{one}/signal", {"signal": 9})
    assert control.world.asked[-1] == ("signal", "SIGKILL")
    for verb in ("cordon", "uncordon", "suspend"):
        await go.call("POST", f"{one}/{verb}")
    await go.call("POST", f"{one}/start", out=go_structs.started)
    done = await go.call("POST", f"{one}/exec", {"cmd": "echo 'a b'", "timeout": 30}, go_structs.executed)
    assert done["exit_code"] == 0
    assert (await go.call("GET", f"{one}/ps", out=go_structs.processes))[0]["listen_sockets"]
    assert (await go.call("DELETE", f"{one}?kill=false", code=412))["error"].startswith("failed_precondition: unable")
    await go.call("DELETE", f"{one}?kill=true")
    assert ident not in [one["id"] for one in await go.call("GET", M, out=go_structs.machines)]
    await go.call("GET", f"{one}/wait?state=destroyed&timeout=60")
    gone = await go.call("GET", f"{M}?include_deleted=true", out=go_structs.machines)
    assert [(one["id"], one["state"]) for one in gone] == [(ident, "destroyed")]


async def test_metadata(go: Go, app: dict[str, Any]) -> None:
    made = await go.call("POST", M, launch(), go_structs.machine)
    one = f"{M}/{made['id']}/metadata"
    await go.call("POST", f"{one}/fly_process_group", {"value": "web"}, code=204)
    assert (await go.call("GET", one, out=go_structs.labels))["fly_process_group"] == "web"
    await go.call("DELETE", f"{one}/fly_process_group", code=204)
    assert "fly_process_group" not in await go.call("GET", one, out=go_structs.labels)
    assert (await go.call("GET", f"{M}/{made['id']}", out=go_structs.machine))["instance_id"] == made["instance_id"]


async def test_volumes(go: Go, app: dict[str, Any]) -> None:
    body = {
        "name": "data", "region": "local", "size_gb": 1, "encrypted": True, "require_unique_zone": True,
        "machines_only": None, "snapshot_retention": None, "auto_backup_enabled": None, "fstype": None,
        "snapshot_id": None, "source_volume_id": None,
        "compute": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
        "compute_image": "registry.fly.io/myapp:deployment-01J",
    }  # fmt: skip
    made = await go.call("POST", f"{APP}/volumes", body, go_structs.volume)
    one = f"{APP}/volumes/{made['id']}"
    larger = await go.call("PUT", f"{one}/extend", {"size_gb": 3}, go_structs.extended)
    assert larger["volume"]["size_gb"] == 3
    fork = body | {"size_gb": None, "source_volume_id": made["id"], "require_unique_zone": False}
    forked = await go.call("POST", f"{APP}/volumes", fork, go_structs.volume)
    assert forked["id"] != made["id"]
    await go.call("POST", f"{one}/snapshots")
    assert (await go.call("GET", f"{one}/snapshots", out=go_structs.snapshots))[0]["status"] == "created"
    changed = {"snapshot_retention": 7, "auto_backup_enabled": None}
    assert (await go.call("PUT", one, changed, go_structs.volume))["snapshot_retention"] == 7
    assert len(await go.call("GET", f"{APP}/volumes", out=go_structs.volumes)) == 2
    await go.call("DELETE", one, out=go_structs.volume)
    assert [one["id"] for one in await go.call("GET", f"{APP}/volumes", out=go_structs.volumes)] == [forked["id"]]


async def test_secrets_and_their_version(go: Go, app: dict[str, Any], control: FakeControl) -> None:
    url = f"{APP}/secrets"
    first = await go.call("POST", url, {"values": {"A": "one", "OLD": None}}, go_structs.secrets)
    second = await go.call("POST", f"{url}/B", {"value": "two"}, go_structs.secrets)
    assert second["version"] > first["version"]
    wanted = launch(min_secrets_version=second["version"])
    made = await go.call("POST", M, wanted, go_structs.machine)
    early = launch(min_secrets_version=second["version"] + 1)
    assert (await go.call("POST", f"{M}/{made['id']}", early, code=412))["error"]
    found = await go.call("GET", f"{url}?version={second['version']}", out=go_structs.secrets)
    assert [one["name"] for one in found["secrets"]] == ["A", "B"]
    assert (await go.call("GET", f"{url}?version={second['version'] + 1}", code=412))["error"]
    assert (await go.call("DELETE", f"{url}/B", out=go_structs.secrets))["version"] > second["version"]


async def test_a_bluegreen_launch_that_may_have_succeeded(go: Go, app: dict[str, Any]) -> None:
    tags = {"fly_bluegreen_deployment_tag": "1764316800", "fly_flyctl_bluegreen_launch_id": "a1b2c3"}
    green = launch(config=CONFIG | {"metadata": CONFIG["metadata"] | tags}, skip_service_registration=True)
    await go.call("POST", M, green, go_structs.machine)  # and the answer is lost
    query = "metadata.fly_flyctl_bluegreen_launch_id=a1b2c3"
    (found,) = await go.call("GET", f"{M}?{query}", out=go_structs.machines)
    assert (found["cordoned"], found["config"]["metadata"]["fly_bluegreen_deployment_tag"]) == (True, "1764316800")
    assert await go.call("GET", f"{M}?metadata.fly_flyctl_bluegreen_launch_id=other", out=go_structs.machines) == []
    await go.call("POST", f"{M}/{found['id']}/uncordon")
    assert (await go.call("GET", f"{M}/{found['id']}", out=go_structs.machine))["cordoned"] is False


async def test_a_machine_with_everything_can_be_decoded(go: Go, app: dict[str, Any]) -> None:
    several = {
        "containers": [
            {
                "name": "web", "image": "nginx:1", "restart": {"policy": "always"},
                "stop": {"timeout": "10s", "signal": "SIGTERM"}, "env": {"A": "b"},
                "healthchecks": [
                    {"name": "up", "interval": 10, "grace_period": 90, "timeout": 5, "kind": "readiness",
                     "http": {"port": 80, "path": "/", "headers": [{"name": "X", "values": ["y"]}]}},
                    {"name": "ls", "interval": 60, "exec": {"command": ["ls"]}},
                ],
                "mounts": [{"name": "tmp", "path": "/shared"}],
            },
            {"name": "side", "image": "redis:7", "depends_on": [{"name": "web", "condition": "healthy"}]},
        ],
        "volumes": [{"name": "tmp", "temp_dir": {"storage_type": "memory", "size_mb": 64}}],
        "dns": {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]},
        "stop_config": {"timeout": "2m0s", "signal": "SIGTERM"},
    }  # fmt: skip
    config = {key: value for key, value in CONFIG.items() if key not in ("image", "init")} | several
    made = await go.call("POST", M, {"config": config, "skip_secrets": False}, go_structs.machine)
    assert [one["interval"] for one in made["config"]["containers"][0]["healthchecks"]] == [10, 60]
    assert {one["name"] for one in made["containers"]} == {"web", "side"}
