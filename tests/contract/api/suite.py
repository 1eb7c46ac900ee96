"""What the API promises, whatever stands behind it: run on the control plane in memory and on a real cloud.

A subclass gives the fixture `address` (host:port of a served API) and `token`; `IMAGE` must be there or
be made on demand, and hold `sh`.
"""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import tarfile
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from websockets.asyncio.client import connect

IMAGE = "roost/base:bookworm"
SLEEPER = {"image": IMAGE, "init": {"exec": ["sh", "-c", "echo up; trap 'exit 0' TERM; while :; do sleep 0.1; done"]}}
CONFIG = SLEEPER | {"stop_config": {"signal": "SIGTERM", "timeout": "5s"}, "metadata": {"role": "suite"}}


class ApiSuite:
    """Inherit from it in a test module."""

    @pytest.fixture
    async def http(self, address: str, token: str) -> AsyncIterator[httpx2.AsyncClient]:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(
            base_url=f"http://{address}", headers=headers, timeout=120, trust_env=False
        ) as found:
            yield found

    @pytest.fixture
    async def app(self, http: httpx2.AsyncClient) -> AsyncIterator[str]:
        name = f"suite-{secrets.token_hex(4)}"
        made = await http.post("/v1/apps", json={"name": name})
        assert made.status_code == 201, made.text
        yield name
        await http.delete(f"/v1/apps/{name}", params={"force": "true"})

    @pytest.fixture
    async def machine(self, http: httpx2.AsyncClient, app: str) -> str:
        """The URL of a started machine."""
        made = await http.post(f"/v1/apps/{app}/machines", json={"config": CONFIG})
        assert made.status_code == 200, made.text
        return f"/v1/apps/{app}/machines/{made.json()['id']}"

    async def test_status(self, http: httpx2.AsyncClient) -> None:
        status = (await http.get("/v1/status")).json()
        assert len(status["id"]) == 8
        assert status["edge"]["connected"] is True
        assert 0 < status["pool"]["used_bytes"] < status["pool"]["total_bytes"]
        assert (await http.get("/v1/tokens/current")).json()["tokens"][0]["role"] == "admin"
        assert "roost_machines" in (await http.get("/metrics")).text

    async def test_bad_token(self, http: httpx2.AsyncClient) -> None:
        for header in ("Bearer nonsense", "Bearer roost_000000000000_" + "a" * 43, "FlyV1 fm2_abc,fm2_def"):
            answer = await http.get("/v1/apps", headers={"Authorization": header})
            assert (answer.status_code, answer.json()["status"]) == (401, "unauthorized"), header

    async def test_app(self, http: httpx2.AsyncClient, app: str) -> None:
        found = (await http.get(f"/v1/apps/{app}")).json()
        assert (found["name"], found["status"], found["machine_count"]) == (app, "pending", 0)
        assert found["organization"]["slug"] == "personal"
        assert app in [other["name"] for other in (await http.get("/v1/apps")).json()["apps"]]
        taken = await http.post("/v1/apps", json={"name": app})
        assert (taken.status_code, taken.json()["status"]) == (422, "name_taken")
        status = (await http.get(f"/v1/apps/{app}/status")).json()
        assert (status["state"], status["release"], status["machines"]) == ("empty", None, [])
        assert status["reason"]
        assert status["url"].startswith("http://")
        assert (await http.delete(f"/v1/apps/{app}")).status_code == 202
        gone = await http.get(f"/v1/apps/{app}")
        assert (gone.status_code, gone.json()["status"]) == (404, "not_found")

    @pytest.mark.parametrize(
        "path", ["", "/status", "/machines", "/machines/00000000000001", "/secrets", "/logs", "/releases"]
    )
    async def test_unknown_app(self, http: httpx2.AsyncClient, path: str) -> None:
        answer = await http.get(f"/v1/apps/nobody-has-this{path}")
        assert (answer.status_code, answer.json()["status"]) == (404, "not_found")

    async def test_secrets(self, http: httpx2.AsyncClient, app: str) -> None:
        url = f"/v1/apps/{app}/secrets"
        first = (await http.post(url, json={"values": {"A": "one", "B": "two"}})).json()
        second = (await http.post(url, json={"values": {"A": None, "B": "three"}})).json()
        assert second["version"] > first["version"]
        assert [secret["name"] for secret in second["secrets"]] == ["B"]
        assert second["secrets"][0]["digest"] != first["secrets"][1]["digest"]
        assert (await http.delete(f"{url}/B")).json()["version"] > second["version"]
        assert (await http.get(url)).json() == {"secrets": []}

    async def test_machine_that_is_not_launched(self, http: httpx2.AsyncClient, app: str) -> None:
        url = f"/v1/apps/{app}/machines"
        made = (await http.post(url, json={"config": CONFIG, "name": "one", "skip_launch": True})).json()
        assert (made["state"], made["name"], made["config"]["metadata"]) == ("created", "one", {"role": "suite"})
        assert made["config"]["image"] == IMAGE
        assert (await http.get(url, params={"metadata.role": "suite", "state": "created"})).json()[0]["id"] == made[
            "id"
        ]
        assert (await http.get(url, params={"metadata.role": "other"})).json() == []
        assert (await http.delete(f"{url}/{made['id']}")).json() == {"ok": True}
        assert (await http.get(url)).json() == []

    async def test_machine_life(self, http: httpx2.AsyncClient, machine: str) -> None:
        found = (await http.get(machine)).json()
        assert found["state"] == "started"
        assert found["image_ref"]["digest"].startswith("sha256:")
        assert (await http.post(f"{machine}/start")).json()["previous_state"] == "started"
        assert (await http.post(f"{machine}/suspend")).json()["state"] == "suspended"
        assert (await http.get(f"{machine}/wait", params={"state": "suspended"})).json()["ok"] is True
        assert (await http.post(f"{machine}/start")).json()["previous_state"] == "suspended"
        waited = (await http.get(f"{machine}/wait", params={"instance_id": found["instance_id"]})).json()
        assert (waited["state"], waited["version"]) == ("started", found["instance_id"])
        refused = await http.delete(machine)
        assert (refused.status_code, refused.json()["status"]) == (412, "failed_precondition")
        assert (await http.post(f"{machine}/restart", params={"force_stop": "true"})).json()["state"] == "started"
        assert (await http.post(f"{machine}/stop", json={"signal": 9})).json()["state"] == "stopped"
        events = (await http.get(f"{machine}/events")).json()
        assert {"launch", "stop"} <= {event["type"] for event in events}
        assert [event["timestamp"] for event in events] == sorted((e["timestamp"] for e in events), reverse=True)
        late = await http.get(f"{machine}/wait", params={"timeout": 1})
        assert (late.status_code, late.json()["status"]) == (408, "deadline_exceeded")
        assert (await http.post(f"{machine}/start")).status_code == 200
        assert (await http.post(f"{machine}/memory/reclaim", json={"amount_mb": 5})).json()["actual_mb"] >= 0
        assert (await http.delete(machine, params={"kill": "true"})).json() == {"ok": True}
        assert (await http.get(machine)).status_code == 404
        gone = (await http.get(f"{machine}/wait", params={"state": "destroyed"})).json()
        assert (gone["state"], gone["version"]) == ("destroyed", found["instance_id"])
        (kept,) = (await http.get(machine.rpartition("/")[0], params={"state": "destroyed"})).json()
        assert (kept["id"], kept["state"], kept["config"]) == (found["id"], "destroyed", found["config"])

    async def test_exec(self, http: httpx2.AsyncClient, machine: str) -> None:
        async def execute(script: str, **more: Any) -> httpx2.Response:
            return await http.post(f"{machine}/exec", json={"command": ["sh", "-c", script], **more})

        done = await execute("cat; echo err >&2; exit 3", stdin="in ä", timeout="20s")
        assert done.json() == {"exit_code": 3, "exit_signal": 0, "stdout": "in ä", "stderr": "err\n"}
        slow = await execute("sleep 30", timeout=0.5)
        assert (slow.status_code, slow.json()["status"]) == (408, "deadline_exceeded")
        assert (await execute("echo again")).json()["stdout"] == "again\n"

    async def test_signal(self, http: httpx2.AsyncClient, machine: str) -> None:
        assert (await http.post(f"{machine}/signal", json={"signal": 1})).json() == {"ok": True}

    async def test_console(self, http: httpx2.AsyncClient, machine: str, address: str, token: str) -> None:
        script = "stty -echo; stty size; read line; stty size; echo got $line; exit 7"
        query = urlencode([("rows", 31), ("columns", 101), *(("command", w) for w in ("sh", "-c", script))])
        url = f"ws://{address}{machine}/console?{query}"
        headers = {"Authorization": f"Bearer {token}"}
        seen, last = b"", {}
        async with connect(url, additional_headers=headers, proxy=None, open_timeout=20) as socket, asyncio.timeout(20):
            while b"31 101" not in seen:
                frame = await socket.recv()
                assert isinstance(frame, bytes), frame
                seen += frame
            await socket.send(json.dumps({"resize": [50, 120]}))
            await socket.send(b"hello\n")
            async for frame in socket:
                if isinstance(frame, bytes):
                    seen += frame
                else:
                    last = json.loads(frame)
        assert b"50 120" in seen
        assert b"got hello" in seen
        assert last == {"exit_code": 7}

    async def test_logs(self, http: httpx2.AsyncClient, app: str, machine: str) -> None:
        async with asyncio.timeout(20):
            async with http.stream("GET", f"/v1/apps/{app}/logs", params={"follow": "true"}) as answer:
                async for text in answer.aiter_lines():
                    line = json.loads(text)
                    if line["source"] == "app":
                        break
        assert set(line) == {"timestamp", "machine", "stream", "message", "source"}
        assert line["stream"] == "stdout"

    async def test_operation(self, http: httpx2.AsyncClient) -> None:
        begun = await http.post("/v1/images/pull", json={"reference": IMAGE})
        assert begun.status_code == 202
        operation = begun.json()
        events = (await http.get(f"/v1/operations/{operation['id']}/events")).text.strip().split("\n\n")
        last = [block for block in events if not block.startswith(":")][-1].splitlines()
        assert last[1] == "event: done"
        assert json.loads(last[2].removeprefix("data: "))["operation"]["state"] == "succeeded"
        found = (await http.get(f"/v1/operations/{operation['id']}")).json()
        assert found["state"] == "succeeded"
        assert (await http.post(f"/v1/operations/{operation['id']}/cancel")).json()["state"] == "succeeded"
        assert operation["id"] in [other["id"] for other in (await http.get("/v1/operations")).json()]
        assert IMAGE in [image["reference"] for image in (await http.get("/v1/images")).json()]

    async def test_source(self, http: httpx2.AsyncClient) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, text in (
                ("requirements.txt", b"flask\n"),
                ("app.py", b"from flask import Flask\napp = Flask('a')\n"),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text))
        made = await http.post("/v1/sources", content=out.getvalue())
        assert made.status_code == 201, made.text
        plan = (await http.post(f"/v1/sources/{made.json()['id']}/plan", json={"name": "my-app"})).json()
        assert (plan["plan"]["stack"], plan["plan"]["framework"]) == ("python", "flask")
        assert plan["config"]["app"] == "my-app"
        assert "my-app" in plan["toml"]
        refused = await http.post("/v1/sources", content=b"this is no archive")
        assert (refused.status_code, refused.json()["status"]) == (400, "bad_input")

    async def test_idempotency(self, http: httpx2.AsyncClient, app: str) -> None:
        body = {"config": CONFIG, "skip_launch": True}
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        url = f"/v1/apps/{app}/machines"
        answers = await asyncio.gather(*(http.post(url, json=body, headers=headers) for _ in range(3)))
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len((await http.get(url)).json()) == 1
