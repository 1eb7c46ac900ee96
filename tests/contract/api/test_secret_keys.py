"""Secret keys over HTTP: bytes in both spellings, and no way out for what is secret."""

from __future__ import annotations

import base64

import httpx2
import pytest
from tests.contract.api.fake_control import FakeControl

KEYS = "/v1/apps/mine/secretkeys"
VALUE = bytes(range(32))


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(autouse=True)
def app(control: FakeControl) -> None:
    control.apps.create("mine")


async def test_a_key_is_given_used_and_removed(client: httpx2.AsyncClient) -> None:
    made = await client.post(f"{KEYS}/sessions", json={"type": "hs256", "value": text(VALUE)})
    assert made.status_code == 201
    assert set(made.json()) == {"name", "type", "created_at", "updated_at", "version", "Version"}
    for spelled in (text(b"hi"), list(b"hi")):
        signed = await client.post(f"{KEYS}/sessions/sign", json={"plaintext": spelled})
        signature = base64.b64decode(signed.json()["signature"])
        assert len(signature) == 32
    for spelled in (text(signature), list(signature)):
        right = await client.post(f"{KEYS}/sessions/verify", json={"plaintext": text(b"hi"), "signature": spelled})
        assert (right.status_code, right.content) == (204, b"")
    wrong = await client.post(f"{KEYS}/sessions/verify", json={"plaintext": text(b"ho"), "signature": text(signature)})
    assert (wrong.status_code, wrong.json()["status"]) == (400, "bad_input")
    listed, one = await client.get(KEYS), await client.get(f"{KEYS}/sessions")
    assert [key["name"] for key in listed.json()["secret_keys"]] == ["sessions"]
    for answer in (made, listed, one):
        assert text(VALUE) not in answer.text
        assert VALUE.hex() not in answer.text
    gone = await client.delete(f"{KEYS}/sessions")
    assert gone.json()["version"] == gone.json()["Version"] == 2
    assert (await client.get(f"{KEYS}/sessions")).status_code == 404
    assert (await client.delete(f"{KEYS}/sessions")).status_code == 404


async def test_a_key_is_made_and_encrypts(client: httpx2.AsyncClient) -> None:
    made = await client.post(f"{KEYS}/box/generate", json={"type": "nacl_box", "value": None})
    assert made.status_code == 201
    assert len(base64.b64decode(made.json()["public_key"])) == 32
    again = await client.post(f"{KEYS}/box/generate", json={"type": "nacl_box"})
    assert (again.status_code, again.json()["status"]) == (409, "conflict")
    await client.post(f"{KEYS}/data/generate", json={"type": "xaes256gcm"})
    asked = {"plaintext": text(b"hello"), "associated_data": list(b"row 7")}
    sealed = (await client.post(f"{KEYS}/data/encrypt", json=asked)).json()["ciphertext"]
    opened = await client.post(f"{KEYS}/data/decrypt", json={"ciphertext": sealed, "associated_data": text(b"row 7")})
    assert base64.b64decode(opened.json()["plaintext"]) == b"hello"
    moved = await client.post(f"{KEYS}/data/decrypt", json={"ciphertext": sealed, "associated_data": text(b"row 8")})
    assert moved.status_code == 400
    by_type = await client.get(KEYS, params={"types": "nacl_box,hs256"})
    assert [key["name"] for key in by_type.json()["secret_keys"]] == ["box"]


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/k", {"type": "rot13", "value": text(VALUE)}, "type"),
        ("/k", {"type": "hs256", "value": "not base64!"}, "value"),
        ("/k", {"type": "hs256", "value": [256]}, "value"),
        ("/k", {"type": "hs256", "value": [True]}, "value"),
        ("/k", {"type": "hs256", "value": text(b"short")}, "value"),
        ("/k", {"type": "es256", "value": text(bytes(32))}, "P-256"),
        ("/k", {"type": "hs256"}, "value"),
        ("/k/generate", {"type": "hs256", "value": text(VALUE)}, "value"),
        ("/have/encrypt", {"plaintext": text(b"x")}, "hs256"),
        ("/have/sign", {"plaintext": 5}, "plaintext"),
        ("/have/verify", {"plaintext": ""}, "signature"),
        ("/a%20b/generate", {"type": "hs256"}, "name"),
    ],
)
async def test_mistakes_are_named(client: httpx2.AsyncClient, path: str, body: dict[str, object], named: str) -> None:
    await client.post(f"{KEYS}/have/generate", json={"type": "hs256"})
    answer = await client.post(KEYS + path, json=body)
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["error"]
    assert text(VALUE) not in answer.text


async def test_a_version_that_has_not_come_is_said(client: httpx2.AsyncClient) -> None:
    for parameter in ("min_version", "version"):
        assert (await client.get(KEYS, params={parameter: 5})).status_code == 412
        assert (await client.get(KEYS, params={parameter: 0})).status_code == 200
    assert (await client.get(KEYS, params={"types": "rot13"})).status_code == 400
