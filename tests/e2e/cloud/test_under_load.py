"""An app is changed while it is called: not one request is lost, and what is under way is finished."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import websockets.sync.client
from tests.e2e.cloud.conftest import RunningCloud
from tests.e2e.cloud.programs import fresh, program, said

PROGRAM = """
import asyncio, base64, hashlib, os

RELEASE = {release!r} + os.environ.get("SUFFIX", "")
STATUS = {status}

async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            lines = head.decode().split("\\r\\n")
            path = lines[0].split()[1]
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            if path == "/echo":
                await echo(reader, writer, head)
                return
            if path == "/stream":
                await stream(writer)
            else:
                body = RELEASE.encode()
                writer.write(b"HTTP/1.1 %d X\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (STATUS, len(body), body))
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def stream(writer):
    writer.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
    for number in range(100):
        line = ("%s %d\\n" % (RELEASE, number)).encode()
        writer.write(b"%x\\r\\n%s\\r\\n" % (len(line), line))
        await writer.drain()
        await asyncio.sleep(0.1)
    writer.write(b"0\\r\\n\\r\\n")
    await writer.drain()

async def echo(reader, writer, head):
    key = next(line.split(b": ")[1] for line in head.split(b"\\r\\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                 b"Sec-WebSocket-Accept: " + accept + b"\\r\\n\\r\\n")
    while True:
        first, second = await reader.readexactly(2)
        size, mask = second & 127, await reader.readexactly(4)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await reader.readexactly(size)))
        writer.write(bytes((first, size)) + data)
        await writer.drain()
        if first & 15 == 8:
            return

async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(os.environ["PORT"]))
    await server.serve_forever()

asyncio.run(main())
"""
CONFIG = """app = "{name}"
[deploy]
wait_timeout = "6s"
[http_service]
internal_port = 8080
[[http_service.checks]]
path = "/"
interval = "1s"
timeout = "1s"
grace_period = "1s"
"""
PAUSE = 0.02  # seconds between two requests of one client


def source(place: Path, name: str, release: str, *, status: int = 200) -> Path:
    return program(place, PROGRAM.format(release=release, status=status), toml=CONFIG.format(name=name))


@pytest.fixture
def app(cloud: RunningCloud, tmp_path: Path) -> Iterator[str]:
    name = fresh("busy")
    cloud.roost("launch", source(tmp_path / "app", name, "one"), "--yes", timeout=240)
    yield name
    cloud.roost("apps", "destroy", name, "--yes", check=False)


@dataclass
class Load:
    """Clients that call an app until `done`, and what they were told."""

    cloud: RunningCloud
    app: str
    done: threading.Event = field(default_factory=threading.Event)
    bodies: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def keep_alive(self) -> None:
        connection = self._connect()
        while not self.done.wait(PAUSE):
            try:
                self._ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self._failed(repr(error))
                connection.close()
                connection = self._connect()
        connection.close()

    def connect_anew(self) -> None:
        while not self.done.wait(PAUSE):
            connection = self._connect()
            try:
                self._ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self._failed(repr(error))
            finally:
                connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.cloud.http_port, timeout=20)

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", "/", headers={"Host": f"{self.app}.localhost"})
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status == 200:
            self.bodies[body] += 1
        else:
            self._failed(f"{answer.status} {body[:200]}")

    def _failed(self, what: str) -> None:
        self.failures.append(f"{time.strftime('%H:%M:%S')} {what}")


@contextmanager
def load(cloud: RunningCloud, app: str) -> Iterator[Load]:
    """Three clients that keep their connection, two that make a new one for each request."""
    running = Load(cloud, app)
    with ThreadPoolExecutor(5) as clients:
        futures = [clients.submit(running.keep_alive) for _ in range(3)]
        futures += [clients.submit(running.connect_anew) for _ in range(2)]
        try:
            yield running
        finally:
            running.done.set()
    for future in futures:
        future.result()


@pytest.mark.timeout(300)
def test_no_request_is_lost_while_an_app_is_changed(cloud: RunningCloud, tmp_path: Path, app: str) -> None:
    with load(cloud, app) as running:
        for release in ("two", "three"):
            cloud.roost("deploy", source(tmp_path / "app", app, release))
            assert cloud.get(app).text == release

        failed = said(cloud, "deploy", source(tmp_path / "app", app, "broken", status=500))
        assert failed.code == 5, failed.text
        assert re.search(r"waiting for machine \w+: check servicecheck-00-http-8080: GET / answered 500", failed.text)
        assert cloud.get(app).text == "three"

        cloud.roost("rollback", "-a", app)
        assert cloud.get(app).text == "two"

        cloud.roost("secrets", "set", "SUFFIX=!", "-a", app)
        assert cloud.get(app).text == "two!"
    assert running.failures == []
    assert set(running.bodies) == {"one", "two", "three", "two!"}
    assert sum(running.bodies.values()) > 500
    assert len(cloud.machines(app)) == 1


def test_a_response_under_way_is_finished(cloud: RunningCloud, tmp_path: Path, app: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.http_port, timeout=20)
    connection.request("GET", "/stream", headers={"Host": f"{app}.localhost"})
    answer = connection.getresponse()
    assert answer.status == 200
    lines = [answer.readline()]
    with ThreadPoolExecutor(1) as one:
        deploy = one.submit(said, cloud, "deploy", source(tmp_path / "app", app, "two"))
        lines += answer.readlines()
        assert deploy.result(60).code == 0
    connection.close()
    assert lines == [f"one {number}\n".encode() for number in range(100)]
    assert cloud.get(app).text == "two"


def test_a_websocket_lives_through_a_deploy(cloud: RunningCloud, tmp_path: Path, app: str) -> None:
    with socket.create_connection(("127.0.0.1", cloud.http_port), timeout=20) as raw:
        uri = f"ws://{app}.localhost:{cloud.http_port}/echo"
        with (
            websockets.sync.client.connect(uri, sock=raw, compression=None, ping_interval=None) as channel,
            ThreadPoolExecutor(1) as one,
        ):
            channel.send("before")
            assert channel.recv(5) == "before"
            deploy = one.submit(said, cloud, "deploy", source(tmp_path / "app", app, "two"))
            deadline = time.monotonic() + 30
            while cloud.get(app).text != "two":
                channel.send("during")
                assert channel.recv(5) == "during"
                assert time.monotonic() < deadline, "the new release serves"
            for _ in range(10):
                channel.send("after")
                assert channel.recv(5) == "after"
                time.sleep(0.05)
            channel.close()
            assert deploy.result(60).code == 0
    assert len(cloud.machines(app)) == 1
