"""One cloud that speaks TLS, for these tests. Its domain has a wildcard certificate, other names come on demand."""

from __future__ import annotations

import socket
import ssl
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud.conftest import RunningCloud, free_port
from tests.e2e.tls import authority

DOMAIN = "apps.example.com"
SERVER = """
import http.server, json, os, time
boot = str(time.time_ns())
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"path": self.path, "boot": boot, **{k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer.request_queue_size = 256
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


def config(*, force_https: bool = False, autostop: str = "off") -> dict[str, Any]:
    port = {"port": 80, "handlers": ["http"], "force_https": force_https}
    return {
        "image": "roost/python:bookworm",
        "init": {"exec": ["python3", "-c", SERVER]},
        "stop_config": {"signal": "SIGKILL", "timeout": "1s"},
        "services": [{"internal_port": 8080, "autostop": autostop, "autostart": True, "ports": [port]}],
    }


def settings_of(acme: str, postgres_port: int) -> str:
    return f"{acme}\n[edge]\npostgres_port = {postgres_port}\n"


@dataclass
class TlsCloud(RunningCloud):
    """A cloud with a port for https, asked on loopback by any name."""

    https_port: int = 0
    postgres_port: int = 0
    authority: str = ""
    acme: authority.Authority | None = None

    def configure(self, acme: str) -> None:
        """Let the next roostd have this table `acme`, beside what all tests of this cloud need."""
        (self.home / "config.toml").write_text(settings_of(acme, self.postgres_port))

    def context(self, authority: str = "", *, alpn: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
        made = ssl.create_default_context(cadata=authority or self.authority)
        made.set_alpn_protocols(list(alpn))
        return made

    def connect(self, name: str, context: ssl.SSLContext | None = None, *, timeout: float = 20) -> ssl.SSLSocket:
        """Shake hands with the edge by this name; raises ssl.SSLError or OSError."""
        plain = socket.create_connection(("127.0.0.1", self.https_port), timeout=timeout)
        try:
            return (context or self.context()).wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def fetch(self, name: str, path: str = "/", context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
        """GET by https; returns status and body."""
        with self.connect(name, context) as connection:
            return ask(connection, name, path)


def ask(connection: socket.socket, name: str, path: str = "/") -> tuple[int, bytes]:
    """GET on an open connection, which stays open."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("the edge closed the connection")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body


def upload(cloud: TlsCloud, app: str, name: str, chain: str, key: str) -> None:
    body = {"hostname": name, "fullchain": chain, "private_key": key}
    answer = cloud.api("POST", f"/apps/{app}/certificates/custom", json=body)
    assert answer.status_code == 201, answer.text


@pytest.fixture(scope="session")
def cloud() -> Iterator[TlsCloud]:
    with tempfile.TemporaryDirectory(prefix="roost-e2e-", dir="/var/tmp") as directory:
        home, http, https = Path(directory) / "home", free_port(), free_port()
        home.mkdir()
        with authority.running(Path(directory), http, https) as acme, pytest.MonkeyPatch.context() as environment:
            postgres = free_port()
            (home / "config.toml").write_text(settings_of(acme.settings(), postgres))
            running = TlsCloud(home, http, free_port(), https, postgres, acme=acme)
            try:
                environment.setenv("ROOST_FAULT_FILE", str(home / "fault"))
                running.roost(
                    "up", "--home", home, "--domain", DOMAIN, "--email", "ops@example.com", "--http-port", str(http),
                    "--https-port", str(https), "--api-port", str(running.api_port),
                )  # fmt: skip
                running.authority = running.roost("certs", "ca").stdout
                yield running
            finally:
                running.roost("destroy-cloud", "--yes", check=False)


@pytest.fixture(scope="session")
def app(cloud: TlsCloud) -> Iterator[str]:
    """An app that is awake and says what it was asked."""
    name = f"tls-{uuid.uuid4().hex[:8]}"
    assert cloud.api("POST", "/apps", json={"name": name, "org_slug": "personal"}).status_code == 201
    made = cloud.api("POST", f"/apps/{name}/machines", json={"config": config()})
    assert made.status_code == 200, made.text
    waited = cloud.api("GET", f"/apps/{name}/machines/{made.json()['id']}/wait?state=started&timeout=30")
    assert waited.status_code == 200, waited.text
    yield name
    cloud.roost("apps", "destroy", name, "--yes", check=False)
