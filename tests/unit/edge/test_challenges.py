"""Challenges of certificate authorities: what is answered, and what goes the way of any request."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from roost.control.name_proofs import challenge_certificate
from roost.edge.challenges import PATH, PROTOCOL, Challenges


def test_only_a_token_under_way_for_that_host_is_answered() -> None:
    challenges = Challenges()
    challenges.set_http("a.example.com", "token", "token.thumb")
    assert challenges.answer("a.example.com", f"{PATH}token") == "token.thumb"
    for host, target in (("b.example.com", f"{PATH}token"), ("a.example.com", f"{PATH}other"), ("a.example.com", "/")):
        assert challenges.answer(host, target) is None
    challenges.clear_http("a.example.com", "token")
    assert challenges.answer("a.example.com", f"{PATH}token") is None


async def handshake(path: Path, name: str) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([PROTOCOL])
    _, writer = await asyncio.open_unix_connection(path, ssl=context, server_hostname=name)
    connection = writer.get_extra_info("ssl_object")
    assert connection.selected_alpn_protocol() == PROTOCOL
    writer.close()
    return bytes(connection.getpeercert(binary_form=True))


async def test_tls_alpn_shows_the_certificate_of_the_name_and_no_other(tmp_path: Path) -> None:
    challenges = Challenges()
    challenges.set_tls("a.example.com", challenge_certificate("a.example.com", "token.thumb"))
    server = await challenges.serve(tmp_path / "sock")
    try:
        leaf = x509.load_der_x509_certificate(await handshake(tmp_path / "sock", "a.example.com"))
        identifier = leaf.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31"))
        assert identifier.critical
        with pytest.raises((ssl.SSLError, OSError)):
            await handshake(tmp_path / "sock", "b.example.com")
    finally:
        server.close()
