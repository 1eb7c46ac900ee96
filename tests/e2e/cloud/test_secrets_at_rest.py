"""A secret is in the machine that may see it, and nowhere else on the server: searched for, byte by byte."""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.e2e.cloud.conftest import RunningCloud
from tests.e2e.cloud.programs import fresh

CHUNK = 4 << 20
SHOW = ["sh", "-c", 'printf %s "$PLANTED" | sha256sum; touch /root/written; sync']


@pytest.fixture
def app(cloud: RunningCloud) -> Iterator[str]:
    name = fresh("sealed")
    cloud.roost("apps", "create", name)
    yield name
    cloud.roost("apps", "destroy", name, "--yes", check=False)


def data_of(path: Path) -> Iterator[bytes]:
    """The written parts of a file, which may be a sparse disk image."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        end, at = os.fstat(fd).st_size, 0
        while at < end:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
                hole = os.lseek(fd, at, os.SEEK_HOLE)
            except OSError:
                return
            last = b""
            while at < hole:
                piece = os.pread(fd, min(CHUNK, hole - at), at)
                if not piece:
                    return
                yield last + piece
                last, at = piece[-100:], at + len(piece)
    finally:
        os.close(fd)


def holders(needle: bytes, home: Path) -> list[str]:
    """Files below the home that hold the needle, and processes that have it in their command line."""
    found = []
    for directory, names, entries in os.walk(home):
        if Path(directory).name == "layers":
            names.clear()
            continue
        for entry in entries:
            path = Path(directory, entry)
            if path.is_file() and not path.is_symlink() and any(needle in piece for piece in data_of(path)):
                found.append(str(path))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if needle in (process / "cmdline").read_bytes():
                found.append(str(process))
        except OSError:
            continue
    return found


def certificate() -> tuple[str, str]:
    """A certificate for www.shop.example and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "www.shop.example")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("www.shop.example")]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM).decode(), private.decode()


def test_a_planted_secret_is_found_nowhere(cloud: RunningCloud, app: str) -> None:
    value = f"planted-{secrets.token_hex(24)}"
    assert holders(b"SQLite format 3", cloud.home), "the search finds nothing at all"
    cloud.roost("secrets", "set", "-a", app, "PLANTED=-", stdin=value)
    key = secrets.token_bytes(32)
    kept = cloud.api("POST", f"/apps/{app}/secretkeys/k", json={"type": "hs256", "value": list(key)})
    assert kept.status_code == 201, kept.text
    imported, private = certificate()
    body = {"hostname": "www.shop.example", "fullchain": imported, "private_key": private}
    assert cloud.api("POST", f"/apps/{app}/certificates/custom", json=body).status_code == 201
    needles = (value.encode(), key, base64.b64encode(key), private.splitlines()[1].encode())
    config = {
        "image": "roost/base:bookworm",
        "init": {"exec": ["sleep", "infinity"]},
        "stop_config": {"signal": "SIGKILL"},
    }
    machine = cloud.api("POST", f"/apps/{app}/machines", json={"config": config}).json()
    path = f"/apps/{app}/machines/{machine['id']}"
    seen = cloud.api("POST", f"{path}/exec", json={"command": SHOW}).json()
    assert seen["exit_code"] == 0, seen
    for needle in needles:
        assert holders(needle, cloud.home) == []
    assert cloud.json("admin", "rotate-keys")["data_keys"] >= 1
    for needle in needles:
        assert holders(needle, cloud.home) == []
    told = [
        cloud.api("GET", where).text
        for where in (
            path,
            f"{path}/versions",
            f"{path}/events",
            f"{path}/ps",
            f"/apps/{app}/secrets",
            f"/apps/{app}/logs",
        )
    ]
    assert not [text for text in told if value in text]
    restarted = cloud.api("POST", f"{path}/restart")
    assert restarted.status_code == 200, restarted.text
    signed = cloud.api("POST", f"/apps/{app}/secretkeys/k/sign", json={"plaintext": list(b"hi")}).json()["signature"]
    assert base64.b64decode(signed) == hmac.digest(key, b"hi", "sha256")
    shown = cloud.api("POST", f"/apps/{app}/certificates/www.shop.example/check").json()
    assert [entry["source"] for entry in shown["certificates"]] == ["custom"]
    again = cloud.api("POST", f"{path}/exec", json={"command": SHOW}).json()
    assert again["stdout"] == seen["stdout"]
    shown = cloud.api("POST", f"{path}/exec", json={"command": ["sh", "-c", "echo $PLANTED"]}).json()
    assert shown["stdout"].strip() == value
    without = cloud.api("POST", path, json={"config": config, "skip_secrets": True})
    assert (without.status_code, without.json()["config"]["skip_secrets"]) == (200, True), without.text
    shown = cloud.api("POST", f"{path}/exec", json={"command": ["sh", "-c", "echo $PLANTED"]}).json()
    assert shown["stdout"].strip() == ""
    refused = cloud.api("GET", f"/apps/{app}/secrets/PLANTED?show_secrets=true")
    assert (refused.status_code, value in refused.text) == (400, False)
