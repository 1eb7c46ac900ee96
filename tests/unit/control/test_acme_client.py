"""What an ACME server's refusals become, and what the command for DNS is told; issuing itself is in tests/e2e/tls."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from roost.control.acme_client import AcmeClient, AcmeTrouble, Proof
from roost.control.core import Core
from roost.control.key_ring import KeyRing
from roost.control.name_proofs import NameProofs
from roost.control.sealing import Vault
from roost.edge.challenges import PATH, Challenges
from roost.model.acme import AcmeSettings
from roost.model.certificate import Certificate
from roost.model.cloud import Cloud
from roost.store.store import Store


class Limited(BaseHTTPRequestHandler):
    """A server that limits everyone."""

    def answer(self, status: int, body: dict[str, Any], **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        kind = "application/json" if status < 400 else "application/problem+json"
        for name, value in {"Content-Type": kind, "Replay-Nonce": "bm9uY2U", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_GET(self) -> None:
        base = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        names = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")
        self.answer(200, {name: f"{base}/{name}" for name in names})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many new accounts"}
        self.answer(429, problem, Retry_After="7200")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def limited() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Limited)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/directory"
    server.shutdown()
    server.server_close()


def core(tmp_path: Path) -> Core:
    cloud = Cloud("0123abcd", tmp_path, 0, 0, "localhost", IPv4Network("10.1.0.0/16"))
    store = Store(f"sqlite:///{tmp_path / 'state.db'}")
    nothing: Any = SimpleNamespace()
    vault = Vault(KeyRing(tmp_path / "keys"), store.data_keys)
    return Core(cloud, store, nothing, nothing, nothing, nothing, vault)


def test_a_limit_says_for_how_long_and_the_accounts_key_is_kept_for_the_next_try(tmp_path: Path, limited: str) -> None:
    parts = core(tmp_path)
    settings = AcmeSettings(directory=limited, agrees=True)
    for _ in range(2):
        with pytest.raises(AcmeTrouble) as caught:
            AcmeClient(parts, settings)
        assert (caught.value.error, caught.value.retry_after) == ("rateLimited", 7200.0)
    stored = parts.store.acme_accounts.find(limited)
    assert stored is not None and stored.uri == ""
    assert b"PRIVATE" not in (tmp_path / "state.db").read_bytes()


def test_a_server_that_is_not_there_is_no_limit(tmp_path: Path) -> None:
    with pytest.raises(AcmeTrouble) as caught:
        AcmeClient(core(tmp_path), AcmeSettings(directory="http://127.0.0.1:1/", agrees=True))
    assert (caught.value.error, caught.value.retry_after) == ("unreachable", None)


ASKED = Certificate("shop", "shop.example.com", True, None, None, 0.0, 0.0, 0.0)


def proof(kind: str) -> Proof:
    return Proof("shop.example.com", kind, "token", "value", None, None)


def hook(tmp_path: Path, body: str) -> AcmeSettings:
    file = tmp_path / "hook"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return AcmeSettings(agrees=True, dns_hook=(str(file), "--zone", "a b"), dns_hook_timeout=5)


def test_the_command_for_dns_gets_the_record_on_its_input_for_the_delegated_name(tmp_path: Path) -> None:
    settings = hook(tmp_path, f'echo "$@" > {tmp_path}/argv; cat > {tmp_path}/record')
    proofs = NameProofs(Challenges(), settings, lambda _, __: "shop.7.acme.apps.org")
    proofs.show(proof("dns-01"), ASKED)
    assert (tmp_path / "argv").read_text() == "--zone a b present\n"
    record = json.loads((tmp_path / "record").read_text())
    assert record == {"name": "shop.7.acme.apps.org", "type": "TXT", "value": "value", "ttl": 60}
    proofs.hide(proof("dns-01"))
    assert (tmp_path / "argv").read_text() == "--zone a b cleanup\n"
    (tmp_path / "argv").unlink()
    proofs.hide(proof("dns-01"))
    assert not (tmp_path / "argv").exists(), "what was not shown is not taken away"


def test_a_command_for_dns_that_fails_is_a_reason(tmp_path: Path) -> None:
    proofs = NameProofs(Challenges(), hook(tmp_path, "echo token=abc >&2; exit 3"), lambda _, name: name)
    with pytest.raises(AcmeTrouble, match="dns_hook failed to present") as caught:
        proofs.show(proof("dns-01"), ASKED)
    assert "token=abc" in caught.value.detail and "token=abc" not in caught.value.message, "not for apps' owners"


def test_what_the_cloud_can_do_depends_on_its_ports_and_its_command(tmp_path: Path) -> None:
    with_hook = NameProofs(Challenges(), hook(tmp_path, "true"), lambda _, name: name)
    assert with_hook.possible(https=True) == ("tls-alpn-01", "http-01", "dns-01")
    without = NameProofs(Challenges(), AcmeSettings(), lambda _, name: name)
    assert without.possible(https=False) == ("http-01",)


def test_http_is_shown_at_the_edge_and_taken_away() -> None:
    edge = Challenges()
    proofs = NameProofs(edge, AcmeSettings(), lambda _, name: name)
    proofs.show(proof("http-01"), ASKED)
    assert edge.answer("shop.example.com", f"{PATH}token") == "value"
    proofs.hide(proof("http-01"))
    assert edge.answer("shop.example.com", f"{PATH}token") is None
