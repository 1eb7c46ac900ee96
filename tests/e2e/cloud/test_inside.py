"""A machine's own API: the socket inside, identity tokens, and what they survive."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import jwt
import pytest
from tests.e2e.cloud.conftest import RunningCloud, wait_until
from tests.e2e.cloud.programs import fresh

from roost.model.errors import Forbidden, Unauthorized
from roost.sdk import Client

CALL = """
import http.client, json, socket, sys

class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(sys.argv[1])

try:
    link = Unix("flaps")
    link.request(sys.argv[2], "/v1" + sys.argv[3], sys.argv[4] or None, json.loads(sys.argv[5]))
    answer = link.getresponse()
    print(json.dumps([answer.status, answer.read().decode()]))
except OSError as error:
    print(json.dumps([error.errno, error.strerror]))
"""
WATCH = """
import socket, time

end = time.monotonic() + 60
while time.monotonic() < end:
    with socket.socket(socket.AF_UNIX) as door:
        began = time.monotonic()
        try:
            door.settimeout(5)
            error = door.connect_ex("/.fly/api")
        except OSError as problem:
            error = problem.errno or 999
        print(error, time.monotonic() - began, flush=True)
    time.sleep(0.02)
"""
CONFIG = {
    "image": "roost/python:bookworm",
    "init": {"exec": ["sleep", "infinity"]},
    "stop_config": {"signal": "SIGKILL"},
    "guest": {"cpus": 1, "memory_mb": 256},
}


class Inside:
    """A machine, asked to ask."""

    def __init__(self, cloud: RunningCloud, app: str, **config: Any) -> None:
        self.cloud, self.app = cloud, app
        made = cloud.api("POST", f"/apps/{app}/machines", json={"config": CONFIG | config})
        assert made.status_code == 200, made.text
        self.row = made.json()
        self.id = str(self.row["id"])
        self.path = f"/apps/{app}/machines/{self.id}"

    def run(self, *command: str) -> str:
        done = self.cloud.api("POST", f"{self.path}/exec", json={"command": list(command), "timeout": 30})
        assert done.status_code == 200, done.text
        assert done.json()["exit_code"] == 0, done.text
        return str(done.json()["stdout"])

    def call(
        self, method: str, path: str, body: str = "", *, door: str = "/.fly/api", user: str = "", token: str = ""
    ) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        argv = ["python3", "-c", CALL, door, method, path, body, json.dumps(headers)]
        status, text = json.loads(self.run(*(["setpriv", f"--reuid={user}", "--clear-groups"] if user else []), *argv))
        return status, text


@pytest.fixture(scope="module")
def app(cloud: RunningCloud) -> Iterator[str]:
    name = fresh("inside")
    cloud.roost("apps", "create", name)
    yield name
    cloud.roost("apps", "destroy", name, "--yes", check=False)


@pytest.fixture(scope="module")
def machine(cloud: RunningCloud, app: str) -> Inside:
    return Inside(cloud, app)


@pytest.fixture(scope="module")
def neighbour(cloud: RunningCloud, app: str) -> Inside:
    return Inside(cloud, app)


def published(cloud: RunningCloud) -> jwt.PyJWKSet:
    """The keys, found as a relying party finds them: from the issuer's discovery document."""
    base = f"http://127.0.0.1:{cloud.api_port}"
    document = httpx2.get(f"{base}/.well-known/openid-configuration", trust_env=False).json()
    assert document["issuer"] == base
    return jwt.PyJWKSet.from_dict(httpx2.get(document["jwks_uri"], trust_env=False).json())


def claims_of(cloud: RunningCloud, token: str, audience: str) -> dict[str, Any]:
    key = published(cloud)[jwt.get_unverified_header(token)["kid"]]
    issuer = f"http://127.0.0.1:{cloud.api_port}"
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], audience=audience, issuer=issuer)
    return claims


def test_an_identity_token_is_verified_outside(cloud: RunningCloud, machine: Inside) -> None:
    status, token = machine.call("POST", "/tokens/oidc", '{"aud": "sts.amazonaws.com", "aws_principal_tags": true}')
    assert (status, token.count(".")) == (200, 2), token
    claims = claims_of(cloud, token, "sts.amazonaws.com")
    assert claims["sub"] == f"personal:{machine.app}:{machine.row['name']}"
    assert claims["machine_id"] == machine.id
    assert claims["machine_version"] == machine.row["instance_id"]
    assert claims["image_digest"] == machine.row["image_ref"]["digest"]
    assert 0 < claims["exp"] - time.time() <= 600
    tags = claims["https://aws.amazon.com/tags"]
    assert tags["principal_tags"]["app_name"] == [machine.app]
    with pytest.raises(jwt.InvalidAudienceError):
        claims_of(cloud, token, "someone-else")
    forged = token[:-8] + ("AAAAAAAA" if token[-8:] != "AAAAAAAA" else "BBBBBBBB")
    with pytest.raises(jwt.InvalidSignatureError):
        claims_of(cloud, forged, "sts.amazonaws.com")


def test_any_user_may_ask_at_both_places(cloud: RunningCloud, machine: Inside) -> None:
    for door in ("/.fly/api", "/.roost/api"):
        status, token = machine.call("POST", "/tokens/oidc", door=door, user="65534")
        assert status == 200, token
        assert claims_of(cloud, token, f"http://127.0.0.1:{cloud.api_port}")["machine_id"] == machine.id
    refused = machine.run("sh", "-c", "rm -f /.fly/api; touch /.fly/x; ls /.fly; mkdir /.fly/d; true")
    assert refused.split() == ["api"]


def test_a_machine_gets_at_itself_alone(cloud: RunningCloud, machine: Inside, neighbour: Inside) -> None:
    status, text = machine.call("GET", machine.path)
    assert (status, json.loads(text)["id"]) == (200, machine.id)
    assert machine.call("GET", f"/apps/{machine.app}")[0] == 200
    current = json.loads(machine.call("GET", "/tokens/current")[1])["tokens"][0]
    assert current["user"] == f"machine {machine.id}"
    for method, path in (
        ("GET", neighbour.path),
        ("POST", f"{neighbour.path}/stop"),
        ("GET", f"/apps/{machine.app}/machines"),
        ("POST", f"{machine.path}/exec"),
        ("POST", machine.path),
        ("DELETE", machine.path),
        ("POST", f"{machine.path}/metadata/role"),
        ("GET", f"/apps/{machine.app}/secrets"),
        ("GET", "/apps"),
        ("GET", "/status"),
    ):
        status, text = machine.call(method, path, "{}" if method == "POST" else "")
        assert (status, json.loads(text)["status"]) == (403, "forbidden"), (method, path, text)
    token = (cloud.home / "keys" / "cli.token").read_text().strip()
    assert machine.call("GET", neighbour.path, token=token)[0] == 200
    assert machine.call("GET", machine.path, token="wrong")[0] == 401
    asked = cloud.api("POST", "/tokens/oidc", json={})
    assert (asked.status_code, asked.json()["status"]) == (403, "forbidden")


def test_a_token_for_secret_keys_alone(cloud: RunningCloud, machine: Inside) -> None:
    keys = f"/apps/{machine.app}/secretkeys"
    assert cloud.api("POST", f"{keys}/seal/generate", json={"type": "nacl_secretbox"}).status_code == 201
    status, token = machine.call("POST", "/tokens/kms")
    assert status == 200, token
    with Client(f"http://127.0.0.1:{cloud.api_port}", token) as client:
        sealed = client.secret_keys.encrypt(machine.app, "seal", b"hello")
        assert client.secret_keys.decrypt(machine.app, "seal", sealed) == b"hello"
        with pytest.raises(Forbidden):
            client.machines.list(machine.app)
        with pytest.raises(Forbidden):
            client.secret_keys.generate(machine.app, "seal", "nacl_secretbox")
        weaker = client.tokens.for_keys()
    with Client(f"http://127.0.0.1:{cloud.api_port}", weaker) as client:
        assert client.secret_keys.decrypt(machine.app, "seal", sealed) == b"hello"
    made = next(row for row in cloud.json("tokens", "list") if row["name"] == f"secret keys of {machine.app}")
    cloud.roost("tokens", "revoke", made["id"], "--yes")
    with Client(f"http://127.0.0.1:{cloud.api_port}", weaker) as client, pytest.raises(Unauthorized):
        client.secret_keys.decrypt(machine.app, "seal", sealed)


def test_a_machine_suspends_itself_and_asks_again(cloud: RunningCloud, neighbour: Inside) -> None:
    argv = ["python3", "-c", CALL, "/.fly/api", "POST", f"{neighbour.path}/suspend", "", "{}"]
    neighbour.run("sh", "-c", 'setsid "$@" >/tmp/said 2>&1 &', "sh", *argv)
    wait_until(lambda: cloud.api("GET", neighbour.path).json()["state"] == "suspended", "it suspended itself")
    assert cloud.api("POST", f"{neighbour.path}/start").status_code == 200
    assert json.loads(wait_until(lambda: neighbour.run("cat", "/tmp/said"), "the answer came"))[0] == 200
    assert neighbour.call("POST", "/tokens/oidc")[0] == 200


def test_the_socket_outlives_roostd_and_fails_fast_meanwhile(cloud: RunningCloud, machine: Inside) -> None:
    before = cloud.roostd_pid
    machine.run("sh", "-c", 'setsid "$@" >/tmp/seen 2>&1 &', "sh", "python3", "-c", WATCH)
    wait_until(lambda: "0 " in machine.run("cat", "/tmp/seen"), "the watch began")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: answers(cloud) not in (0, before), "another roostd")
    status, token = machine.call("POST", "/tokens/oidc")
    assert status == 200, token
    assert claims_of(cloud, token, f"http://127.0.0.1:{cloud.api_port}")["machine_id"] == machine.id
    seen = [line.split() for line in machine.run("cat", "/tmp/seen").splitlines()]
    refused = [float(took) for error, took in seen if int(error)]
    assert refused, "it was never refused"
    ending = str(errno.EAGAIN)  # while the kernel takes roostd apart, a full queue may be what a call meets
    assert {error for error, _ in seen} - {ending} == {"0", str(errno.ECONNREFUSED)}
    assert max(refused) < 0.5, "a refusal took long"


def answers(cloud: RunningCloud) -> int:
    try:
        return cloud.roostd_pid
    except (httpx2.TransportError, KeyError):
        return 0
