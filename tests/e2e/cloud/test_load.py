"""Load on real machines: a burst at a sleeping app, and machines that come and go by their soft_limit."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh
from tests.e2e.cloud.test_autoscaling import stream
from tests.e2e.cloud.test_sleep_and_wake import create

BURST = 1000
SERVER = """
import asyncio, hashlib, json, os, time
boot = str(time.time_ns())

async def serve(reader, writer):
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().lower()
    path = head.split()[1]
    if path == "/stream":
        text = os.environ["FLY_MACHINE_ID"].encode()
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000000\\r\\n\\r\\n" + text)
        await reader.read(1)
        writer.close()
        return
    length = [int(line.split(":")[1]) for line in head.split("\\r\\n") if line.startswith("content-length:")]
    body = await reader.readexactly(length[0]) if length else b""
    told = {"boot": boot, "size": len(body), "digest": hashlib.sha256(body).hexdigest(), "path": path}
    answer = json.dumps(told).encode()
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(answer) + answer)
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", 8080, backlog=2048)
    await server.serve_forever()

asyncio.run(main())
"""


def config(**service: Any) -> dict[str, Any]:
    return {
        "image": "roost/python:bookworm",
        "init": {"exec": ["python3", "-c", SERVER]},
        "stop_config": {"signal": "SIGKILL", "timeout": "1s"},
        "services": [{"internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}], **service}],
    }


@pytest.fixture
def app(cloud: RunningCloud) -> Iterator[str]:
    name = fresh("load")
    cloud.roost("apps", "create", name)
    yield name
    cloud.roost("apps", "destroy", name, "--yes", check=False)


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def ask(cloud: RunningCloud, app: str, number: int) -> dict[str, Any]:
    """Make one request, every other one an upload; gives what the app said, or the whole answer if it was another."""
    reader, writer = await asyncio.open_connection("127.0.0.1", cloud.http_port)
    try:
        body = os.urandom(1000 + number * 97 % 90_000) if number % 2 else b""
        verb, length = ("POST", f"Content-Length: {len(body)}\r\n") if body else ("GET", "")
        head = f"{verb} /{number} HTTP/1.1\r\nHost: {app}.localhost\r\nConnection: close\r\n{length}\r\n"
        writer.write(head.encode() + body)
        answer = await reader.read()
        top, _, text = answer.partition(b"\r\n\r\n")
        if not top.startswith(b"HTTP/1.1 200 "):
            return {"wrong": answer.decode(errors="replace")[:500]}
        told: dict[str, Any] = json.loads(text)
        right = (len(body), hashlib.sha256(body).hexdigest(), f"/{number}")
        return told if (told["size"], told["digest"], told["path"]) == right else {"wrong": told}
    finally:
        writer.close()


@pytest.mark.timeout(120)
def test_a_thousand_at_once_half_of_them_uploads_wake_it_once(cloud: RunningCloud, app: str, many_files: None) -> None:
    assert create(cloud, app, config(autostop="stop", autostart=True)).status_code == 200
    (machine,) = cloud.machines(app)
    cloud.roost("machine", "stop", machine["id"], "-a", app)

    async def burst() -> list[dict[str, Any]]:
        async with asyncio.timeout(60):
            return await asyncio.gather(*(ask(cloud, app, number) for number in range(BURST)))

    began = time.monotonic()
    answers = asyncio.run(burst())
    assert [answer for answer in answers if "wrong" in answer] == []
    assert len({answer["boot"] for answer in answers}) == 1, "one process answered them all"
    events = cloud.json("machine", "status", machine["id"], "-a", app)["events"]
    assert sum(e["type"] == "start" and e["status"] == "started" for e in events) == 2, "created, and one wake"
    assert time.monotonic() - began < 45


@pytest.mark.timeout(120)
def test_machines_come_and_go_by_their_soft_limit(cloud: RunningCloud, app: str) -> None:
    limits = {"type": "requests", "soft_limit": 2, "hard_limit": 50}
    for _ in range(2):
        made = create(cloud, app, config(autostop="suspend", autostart=True, idle_timeout="2s", concurrency=limits))
        assert made.status_code == 200, made.text
    first, second = cloud.machines(app)
    with ExitStack() as held:
        held.enter_context(stream(cloud, app))
        wait_until(lambda: running(cloud, app) == 1, "with one request one machine goes to sleep, the other stays", 15)
        for _ in range(2):
            held.enter_context(stream(cloud, app))
        wait_until(lambda: running(cloud, app) == 2, "three requests are above the soft limit of one", 15)
        awake = {held.enter_context(stream(cloud, app)) for _ in range(2)}
        assert awake & {first["id"], second["id"]}, "new requests are answered"
    wait_until(lambda: running(cloud, app) == 0, "nobody calls: all sleep", 20)


def running(cloud: RunningCloud, app: str) -> int:
    return sum(machine["state"] == "started" for machine in cloud.machines(app))
