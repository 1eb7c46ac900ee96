"""A port of the cloud that is one app's own: connecting wakes the app, and it stays awake while one is connected."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, free_port, wait_until

SERVER = """
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"welcome\\n")
        for line in self.rfile: self.wfile.write(b"you said " + line)
socketserver.ThreadingTCPServer(("0.0.0.0", 5000), Echo).serve_forever()
"""


DATAGRAMS = """
import socket
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("0.0.0.0", 5000))
while True:
    data, client = here.recvfrom(2000)
    here.sendto(b"you said " + data, client)
"""


def _config(port: int) -> dict[str, Any]:
    return {
        "image": "roost/python:bookworm",
        "init": {"exec": ["python3", "-c", SERVER]},
        "services": [
            {"internal_port": 5000, "autostop": "suspend", "idle_timeout": "1s", "ports": [{"port": port}]},
        ],
    }


@pytest.fixture
def apps(cloud: RunningCloud) -> Iterator[tuple[str, str]]:
    names = f"echo-{uuid.uuid4().hex[:8]}", f"other-{uuid.uuid4().hex[:8]}"
    for name in names:
        assert cloud.api("POST", "/apps", json={"name": name, "org_slug": "personal"}).status_code == 201
    yield names
    for name in names:
        cloud.api("DELETE", f"/apps/{name}?force=true")


def test_an_app_with_a_port_of_its_own(cloud: RunningCloud, apps: tuple[str, str]) -> None:
    app, other = apps
    port = free_port()

    def create(name: str, asked: int) -> Any:
        return cloud.api("POST", f"/apps/{name}/machines", json={"config": _config(asked)})

    def state() -> str:
        return str(cloud.machines(app)[0]["state"])

    assert create(app, port).status_code == 200
    with socket.create_connection(("127.0.0.1", port), 20) as held, held.makefile("rwb") as lines:
        assert lines.readline() == b"welcome\n"
        with socket.socket() as taken:
            taken.bind(("0.0.0.0", free_port()))
            taken.listen()
            refused = [create(other, asked) for asked in (port, 22, cloud.api_port, taken.getsockname()[1])]
        assert [answer.status_code for answer in refused] == [409, 400, 400, 409]
        for answer, words in zip(refused, (app, "not one that apps", "Roost itself", "another program"), strict=True):
            assert words in answer.json()["error"], answer.text
        lines.write(b"hi\n")
        lines.flush()
        assert lines.readline() == b"you said hi\n"
        assert state() == "started", "longer idle than it takes to sleep, but for the connection"
    wait_until(lambda: state() == "suspended", "the app sleeps when nobody is connected")
    with socket.create_connection(("127.0.0.1", port), 20) as woken, woken.makefile("rwb") as lines:
        lines.write(b"early\n")
        lines.flush()
        assert [lines.readline(), lines.readline()] == [b"welcome\n", b"you said early\n"]
    assert cloud.get(app).status_code == 503, "it serves no HTTP"
    assert cloud.api("DELETE", f"/apps/{app}?force=true").status_code < 300
    assert create(other, port).status_code == 200, "the port is free again"


def test_an_app_with_a_udp_port(cloud: RunningCloud, apps: tuple[str, str]) -> None:
    app, _ = apps
    port = free_port()
    config = _config(port)
    config["init"]["exec"][2] = DATAGRAMS
    config["services"][0] |= {"protocol": "udp", "autostop": "off"}
    made = cloud.api("POST", f"/apps/{app}/machines", json={"config": config})
    assert made.status_code == 200, made.text
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)

        def ask(text: bytes) -> bytes:
            client.sendto(text, ("127.0.0.1", port))
            try:
                return client.recv(2000)
            except TimeoutError:
                return b""

        wait_until(lambda: ask(b"hi") == b"you said hi", "datagrams are answered")
        assert cloud.api("POST", f"/apps/{app}/machines/{made.json()['id']}/suspend").status_code == 200
        assert cloud.machines(app)[0]["state"] == "suspended"
        wait_until(lambda: ask(b"wake") == b"you said wake", "a datagram wakes the app")
        assert cloud.machines(app)[0]["state"] == "started"
    twice = cloud.api("POST", f"/apps/{app}/machines", json={"config": {**config, "services": [
        {"internal_port": 5000, "protocol": "udp", "ports": [{"port": port, "handlers": ["tls"]}]}
    ]}})  # fmt: skip
    assert (twice.status_code, "handlers are for tcp" in twice.json()["error"]) == (400, True), twice.text
