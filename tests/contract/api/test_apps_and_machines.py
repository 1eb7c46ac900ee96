"""Apps and machines over HTTP: shapes, the forms that clients send, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl

MACHINES = "/v1/apps/myapp/machines"


@pytest.fixture
def machine(control: FakeControl) -> dict[str, Any]:
    from roost.model.machine_config import MachineConfig

    control.apps.create("myapp")
    made = control.machines.create("myapp", MachineConfig(image="nginx:1", metadata={"role": "web", "a.b": "1"}))
    control.world.asked.clear()
    return {"id": made.id, "url": f"{MACHINES}/{made.id}"}


async def test_app_life(client: httpx2.AsyncClient) -> None:
    made = await client.post("/v1/apps?wait=true", json={"app_name": "myapp", "org_slug": "personal", "network": ""})
    assert made.status_code == 201
    app = made.json()
    assert app["name"] == "myapp"
    assert app["organization"]["slug"] == "personal"
    assert app["status"] == "pending"
    assert isinstance(app["internal_numeric_id"], int)
    assert app["created_at"].endswith("Z")
    assert (await client.get("/v1/apps/myapp")).json() == app
    assert (await client.get("/v1/apps", params={"org_slug": "personal"})).json() == {"total_apps": 1, "apps": [app]}
    assert (await client.get("/v1/apps", params={"org_slug": "other"})).json() == {"total_apps": 0, "apps": []}
    status = (await client.get("/v1/apps/myapp/status")).json()
    assert status["state"] == "empty"
    assert status["reason"]
    assert status["release"] is None
    assert (await client.delete("/v1/apps/myapp")).status_code == 202
    gone = await client.get("/v1/apps/myapp")
    assert (gone.status_code, gone.json()["status"]) == (404, "not_found")


async def test_taken_name(client: httpx2.AsyncClient) -> None:
    await client.post("/v1/apps", json={"name": "myapp"})
    answer = await client.post("/v1/apps", json={"name": "myapp"})
    assert (answer.status_code, answer.json()["status"]) == (422, "name_taken")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{}", "name is missing"),
        (b"", "the body"),
        (b"[]", "the body"),
        (b"null", "the body"),
        (b"{", "not JSON"),
        (b'{"name": "A_b"}', "A_b"),
        (b'{"name": "../etc"}', "etc"),
        (b'{"name": 5}', "name"),
        (b'{"name": "a", "app_name": "b"}', "app_name"),
        (b'{"name": "a", "colour": "red"}', "colour is not supported"),
        (b'{"name": "a", "enable_subdomains": true}', "enable_subdomains is not supported"),
        (b'{"name": "a", "org_slug": "a b"}', "org_slug"),
        (b'{"name": "a", "network": "../x"}', "network"),
        (b'{"name": "a\\u0000"}', "NUL"),
        (b'{"name": "a\\ud800"}', "Unicode"),
        (b'{"na\\ud800me": "a"}', "a key is not valid Unicode"),
        (b"[" * 100_000, "body"),
        (b"\xff\xfe", "body"),
    ],
)
async def test_app_bodies_that_are_refused(client: httpx2.AsyncClient, body: bytes, named: str) -> None:
    answer = await client.post("/v1/apps", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["status"] == "bad_input"
    assert named in answer.json()["error"]


async def test_json_needs_its_content_type(client: httpx2.AsyncClient) -> None:
    answer = await client.post(
        "/v1/apps", content=b'{"name": "a"}', headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 400
    assert "Content-Type" in answer.json()["hint"]


async def test_keys_that_ask_for_nothing_are_accepted(client: httpx2.AsyncClient) -> None:
    body = {"name": "a", "enable_subdomains": False, "app_role_id": ""}
    assert (await client.post("/v1/apps", json=body)).status_code == 201


async def test_large_bodies(client: httpx2.AsyncClient) -> None:
    async def pieces() -> Any:
        for _ in range(30):
            yield b" " * 10_000

    headers = {"Content-Type": "application/json"}
    told = await client.post("/v1/apps", content=b" " * 300_000, headers=headers)
    untold = await client.post("/v1/apps", content=pieces(), headers=headers)
    for answer in (told, untold):
        assert (answer.status_code, answer.json()["status"]) == (413, "too_large")


async def test_machine_life(client: httpx2.AsyncClient, control: FakeControl) -> None:
    await client.post("/v1/apps", json={"name": "myapp"})
    body = {"config": {"image": "nginx:1", "guest": {"cpus": 1, "memory_mb": 256}}, "region": "", "lease_ttl": 0}
    made = await client.post(MACHINES, json=body)
    assert made.status_code == 200
    machine = made.json()
    url = f"{MACHINES}/{machine['id']}"
    assert machine["state"] == "started"
    assert machine["config"]["image"] == "nginx:1"
    assert machine["image_ref"] == {
        "registry": "docker.io",
        "repository": "library/nginx",
        "tag": "1",
        "digest": machine["image_ref"]["digest"],
        "labels": {"fly.version": "1.2"},
    }
    assert len(machine["instance_id"]) == 26
    assert machine["events"][0]["type"] == "launch"
    assert machine["events"][0]["timestamp"] > 1_600_000_000_000
    assert machine["checks"][0]["status"] == "passing"
    assert (await client.get(url)).json() == machine
    assert (await client.get(MACHINES)).json() == [machine]
    refused = await client.delete(url)
    assert (refused.status_code, refused.json()["status"]) == (412, "failed_precondition")
    started = (await client.post(f"{url}/start")).json()
    assert started["previous_state"] == "started"
    assert started["migrated"] is False
    assert (await client.post(f"{url}/suspend", json={})).json() == {"ok": True, "state": "suspended"}
    assert (await client.post(f"{url}/stop")).json() == {"ok": True, "state": "stopped"}
    assert (await client.delete(url, params={"kill": "true"})).json() == {"ok": True}
    assert (await client.get(url)).json()["error"] == "machine not found"


async def test_filters(client: httpx2.AsyncClient, machine: dict[str, Any]) -> None:
    async def found(**query: str) -> int:
        return len((await client.get(MACHINES, params=query)).json())

    assert await found(state="started") == 1
    assert await found(state="stopped,started") == 1
    assert await found(state="stopped") == 0
    assert await found(region="local") == 1
    assert await found(region="mars") == 0
    assert await found(**{"metadata.role": "web", "metadata.a.b": "1"}) == 1
    assert await found(**{"metadata.role": "worker"}) == 0
    summary = (await client.get(MACHINES, params={"summary": "true"})).json()[0]
    assert not {"config", "checks", "events", "host_status"} & set(summary)
    assert (await client.get(MACHINES, params={"state": "happy"})).status_code == 400
    assert await found(include_deleted="true") == 1


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "config is missing"),
        ({"config": {}}, "config.image is missing"),
        ({"config": []}, "config"),
        ({"config": {"image": "x", "colour": 1}}, "config.colour"),
        ({"config": {"image": "x", "guest": {"cpus": "two"}}}, "config.guest.cpus"),
        ({"config": {"image": "x"}, "lease_ttl": -1}, "lease_ttl"),
        ({"config": {"image": "x"}, "current_version": "1"}, "current_version"),
        ({"config": {"image": "x"}, "name": "../x"}, "name"),
        ({"config": {"image": "x"}, "skip_launch": "yes"}, "skip_launch"),
        ({"config": {"image": "x", "env": {"A": "\0"}}}, "NUL"),
    ],
)
async def test_machine_bodies_that_are_refused(
    client: httpx2.AsyncClient, control: FakeControl, body: dict[str, Any], named: str
) -> None:
    control.apps.create("myapp")
    answer = await client.post(MACHINES, json=body)
    assert (answer.status_code, answer.json()["status"]) == (400, "bad_input")
    assert named in answer.json()["error"]
    assert not control.world.machines


async def test_min_secrets_version(client: httpx2.AsyncClient, control: FakeControl) -> None:
    control.apps.create("myapp")
    control.secrets.set("myapp", {"A": "1"})
    body = {"config": {"image": "x"}, "skip_launch": True}
    assert (await client.post(MACHINES, json=body | {"min_secrets_version": 1})).json()["state"] == "created"
    assert (await client.post(MACHINES, json=body | {"min_secrets_version": 2})).status_code == 412


@pytest.mark.parametrize("path", ["", "/start", "/events", "/wait"])
@pytest.mark.parametrize("machine_id", ["nope", "0000000000000g", "00000000000001x", "%2e%2e"])
async def test_machine_ids_are_checked(
    client: httpx2.AsyncClient, control: FakeControl, machine_id: str, path: str
) -> None:
    control.apps.create("myapp")
    method = "POST" if path == "/start" else "GET"
    answer = await client.request(method, f"{MACHINES}/{machine_id}{path}")
    if answer.status_code == 404:  # the path was normalised to another one on its way
        assert machine_id == "%2e%2e"
    else:
        assert answer.status_code == 400
        assert "invalid machine ID" in answer.json()["error"]


async def test_machine_of_another_app(
    client: httpx2.AsyncClient, control: FakeControl, machine: dict[str, Any]
) -> None:
    control.apps.create("other")
    assert (await client.get(f"/v1/apps/other/machines/{machine['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({}, ("stop", "", None)),
        ({"signal": "SIGTERM", "timeout": "10s"}, ("stop", "SIGTERM", 10.0)),
        ({"signal": 9, "timeout": 2}, ("stop", "SIGKILL", 2.0)),
        ({"signal": "hup", "timeout": "1m30s"}, ("stop", "SIGHUP", 90.0)),
        ({"signal": None, "timeout": 0.5}, ("stop", "", 0.5)),
    ],
)
async def test_stop_forms(
    client: httpx2.AsyncClient, control: FakeControl, machine: dict[str, Any], body: Any, asked: tuple[object, ...]
) -> None:
    assert (await client.post(f"{machine['url']}/stop", json=body)).status_code == 200
    assert control.world.asked == [asked]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"signal": "SIGNOPE"}, "signal"),
        ({"signal": 99}, "signal"),
        ({"signal": True}, "signal"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": 301}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"grace": 1}, "grace"),
        ({"force_stop": True}, "force_stop"),
    ],
)
async def test_stop_forms_that_are_refused(
    client: httpx2.AsyncClient, control: FakeControl, machine: dict[str, Any], body: Any, named: str
) -> None:
    answer = await client.post(f"{machine['url']}/stop", json=body)
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["error"]
    assert control.world.asked == []


async def test_restart_reads_query_and_body(
    client: httpx2.AsyncClient, control: FakeControl, machine: dict[str, Any]
) -> None:
    url = f"{machine['url']}/restart"
    assert (await client.post(url)).json() == {"ok": True, "state": "started"}
    await client.post(url, params={"signal": "9", "timeout": "3", "force_stop": "true"})
    await client.post(url, json={"signal": "SIGTERM", "timeout": "4s"})
    assert control.world.asked == [
        ("restart", "", None, False),
        ("restart", "SIGKILL", 3.0, True),
        ("restart", "SIGTERM", 4.0, False),
    ]


async def test_signal(client: httpx2.AsyncClient, control: FakeControl, machine: dict[str, Any]) -> None:
    url = f"{machine['url']}/signal"
    for body in ({"signal": "SIGHUP"}, {"signal": 1}):
        assert (await client.post(url, json=body)).json() == {"ok": True}
    assert control.world.asked == [("signal", "SIGHUP"), ("signal", "SIGHUP")]
    for bad in ({}, {"signal": ""}, {"signal": None}, {"signal": 0}):
        assert (await client.post(url, json=bad)).status_code == 400


async def test_exec(client: httpx2.AsyncClient, control: FakeControl, machine: dict[str, Any]) -> None:
    url = f"{machine['url']}/exec"
    answer = await client.post(url, json={"command": ["echo", "a b", "ä"], "stdin": "in\0put", "timeout": 5})
    assert answer.json() == {"exit_code": 0, "exit_signal": 0, "stdout": "echo a b ä�", "stderr": "in\0put"}
    await client.post(url, json={"cmd": "echo 'a b' c", "container": ""})
    assert control.world.asked == [
        ("exec", ("echo", "a b", "ä"), b"in\0put", 5.0),
        ("exec", ("echo", "a b", "c"), b"", 60.0),
    ]
    slow = await client.post(url, json={"command": ["sleep", "9"], "timeout": "1s"})
    assert (slow.status_code, slow.json()["status"]) == (408, "deadline_exceeded")
    bad: list[dict[str, Any]] = [
        {},
        {"command": []},
        {"command": [""]},
        {"command": "ls"},
        {"command": ["a\0b"]},
        {"cmd": "'"},
        {"command": ["a"], "cmd": "a"},
        {"command": ["a"], "timeout": 0},
        {"command": ["a"], "timeout": 99999},
    ]
    for body in bad:
        assert (await client.post(url, json=body)).status_code == 400, body


async def test_wait(client: httpx2.AsyncClient, control: FakeControl, machine: dict[str, Any]) -> None:
    url = f"{machine['url']}/wait"
    answer = (await client.get(url)).json()
    assert answer["ok"] is True
    assert answer["state"] == "started"
    assert len(answer["version"]) == 26
    assert len(answer["event_id"]) == 26
    await client.get(url, params={"state": ["stopped", "started"], "timeout": "10s", "version": answer["version"]})
    await client.get(url, params={"state": "settled,stopping", "timeout": "1"})
    settled = frozenset({"created", "started", "stopped", "suspended", "failed", "destroyed"})
    assert control.world.asked == [
        ("wait", frozenset({"started"}), "", 60.0),
        ("wait", frozenset({"started", "stopped"}), answer["version"], 10.0),
        ("wait", settled | {"stopping"}, "", 1.0),
    ]
    late = await client.get(url, params={"state": "stopped", "timeout": 1})
    assert (late.status_code, late.json()["status"]) == (408, "deadline_exceeded")
    for given, waited in (("0", 1.0), ("0.2", 1.0), ("301", 60.0), ("5m", 60.0)):
        assert (await client.get(url, params={"timeout": given})).status_code == 200
        assert control.world.asked[-1] == ("wait", frozenset({"started"}), "", waited)
    for bad in ({"state": "happy"}, {"timeout": "-1"}, {"timeout": "x"}, {"from_event_id": "1"}):
        assert (await client.get(url, params=bad)).status_code == 400, bad


async def test_events(client: httpx2.AsyncClient, machine: dict[str, Any]) -> None:
    await client.post(f"{machine['url']}/stop")
    events = (await client.get(f"{machine['url']}/events", params={"limit": 1})).json()
    assert [event["type"] for event in events] == ["stop"]
    assert set(events[0]) == {"id", "type", "status", "source", "timestamp", "request"}
    for bad in ("0", "51", "x"):
        assert (await client.get(f"{machine['url']}/events", params={"limit": bad})).status_code == 400
