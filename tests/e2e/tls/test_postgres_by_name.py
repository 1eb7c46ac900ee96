"""`pg_tls` and `tls_options` on a real cloud: whose the port is, waking, names with a way of their own."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any

import pytest
from tests.e2e.cloud.conftest import wait_until
from tests.e2e.tls.conftest import DOMAIN, TlsCloud, ask, config

STARTUP = struct.pack("!II", 20, 196608) + b"user\0shop\0\0"
# What a client says after TLS is told back: whether that is Postgres is looked at in tests/e2e/edge.
ECHO = """
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(4096): self.request.sendall(data)
socketserver.ThreadingTCPServer(("0.0.0.0", 5432), Echo).serve_forever()
"""


def database(**port: Any) -> dict[str, Any]:
    ports = [{"port": 5432, "handlers": ["pg_tls"], **port}]
    return {
        "image": "roost/python:bookworm",
        "init": {"exec": ["python3", "-c", ECHO]},
        "stop_config": {"signal": "SIGKILL", "timeout": "1s"},
        "services": [{"internal_port": 5432, "autostop": "suspend", "ports": ports}],
    }


def connect(cloud: TlsCloud, name: str) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", cloud.postgres_port), timeout=20)
    try:
        plain.sendall(struct.pack("!II", 8, 80877103))
        if plain.recv(1) != b"S":
            raise ConnectionError("no TLS")
        return cloud.context(alpn=("postgresql",)).wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def said(connection: ssl.SSLSocket) -> bytes:
    connection.sendall(STARTUP)
    return connection.recv(4096)


def test_apps_share_the_port_of_postgres_by_name(cloud: TlsCloud, app: str) -> None:
    other = f"{app}-other"
    cloud.roost("apps", "create", other)

    def create(name: str, config: dict[str, Any]) -> Any:
        return cloud.api("POST", f"/apps/{name}/machines", json={"config": config})

    try:
        made = create(other, database())
        assert made.status_code == 200, made.text
        wait_until(lambda: cloud.api("GET", "/status").json()["edge"]["detail"].get("postgres"), "the front is up")
        with wait_until(lambda: _reached(cloud, f"{other}.{DOMAIN}"), "the app is reached by name") as connection:
            assert connection.selected_alpn_protocol() == "postgresql"
        machine = made.json()["id"]
        assert cloud.api("POST", f"/apps/{other}/machines/{machine}/suspend").status_code == 200
        with connect(cloud, f"{other}.{DOMAIN}") as woken:
            assert said(woken) == STARTUP, "connecting wakes it"

        refused = create(app, database(port=5433))
        assert (refused.status_code, "share port 5432, by host name" in refused.text) == (400, True), refused.text
        own = {"port": cloud.postgres_port, "handlers": []}
        taken = create(app, database(**own))
        assert taken.status_code == 409 and f"like '{other}'" in taken.json()["error"], taken.text
        with pytest.raises((ssl.SSLError, OSError)):
            connect(cloud, f"{app}.{DOMAIN}")
    finally:
        cloud.roost("apps", "destroy", other, "--yes", check=False)


def _reached(cloud: TlsCloud, name: str) -> ssl.SSLSocket | None:
    try:
        connection = connect(cloud, name)
        assert said(connection) == STARTUP
        return connection
    except OSError:
        return None


def test_an_app_has_its_own_versions_of_tls_on_the_https_port(cloud: TlsCloud) -> None:
    app = "strict"
    cloud.roost("apps", "create", app)
    try:
        machine = config()
        machine["services"][0]["ports"] = [
            {"port": 443, "handlers": ["tls", "http"], "tls_options": {"versions": ["TLSv1.3"], "alpn": ["http/1.1"]},
             "http_options": {"response": {"pristine": True}}},
        ]  # fmt: skip
        made = cloud.api("POST", f"/apps/{app}/machines", json={"config": machine})
        assert made.status_code == 200, made.text
        name = f"{app}.{DOMAIN}"

        def older_is_refused() -> bool:
            older = cloud.context()
            older.maximum_version = ssl.TLSVersion.TLSv1_2
            try:
                cloud.connect(name, older).close()
            except OSError:
                return True
            return False

        wait_until(older_is_refused, "the app's own versions hold")
        with cloud.connect(name, cloud.context(alpn=("h2", "http/1.1"))) as connection:
            assert connection.selected_alpn_protocol() == "http/1.1"
            assert ask(connection, name)[0] == 200
        with cloud.connect(f"unknown.{DOMAIN}", cloud.context(alpn=("h2",))) as connection:
            assert connection.selected_alpn_protocol() == "h2"
    finally:
        cloud.roost("apps", "destroy", app, "--yes", check=False)
