"""Certificates that are brought: what is accepted, and what is refused by name."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from tests.unit.control.certificate_maker import NOW, Authority, chain_of, curve_key, pem_of

from roost.control.certificate_files import read_upload
from roost.model.certificate import KeyKind
from roost.model.errors import BadInput

AT = NOW.timestamp()
NAME = "www.shop.example"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.mark.parametrize(
    ("names", "hostname"),
    [([NAME], NAME), (["other.example", NAME.upper()], NAME), (["*.shop.example"], NAME),
     (["*.shop.example"], "*.shop.example")],
)  # fmt: skip
def test_a_good_one(authority: Authority, names: list[str], hostname: str) -> None:
    key = curve_key()
    uploaded, kept = read_upload(hostname, authority.chain(names, key), pem_of(key), AT)
    assert (uploaded.kind, uploaded.issuer, uploaded.expires_at) == (KeyKind.ECDSA, "Test Authority", AT + 90 * 86_400)
    assert uploaded.fullchain.count("BEGIN CERTIFICATE") == 2
    assert kept.decode() == pem_of(key)
    assert "PRIVATE" not in uploaded.fullchain


def test_an_rsa_key_and_a_longer_chain(authority: Authority) -> None:
    middle = Authority("Middle", above=authority)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    chain = chain_of(middle.issue([NAME], key), middle.certificate, authority.certificate)
    assert read_upload(NAME, chain, pem_of(key), AT)[0].kind is KeyKind.RSA


def test_text_around_and_a_lone_certificate(authority: Authority) -> None:
    key = curve_key()
    chain = "a bag of attributes\n" + chain_of(authority.issue([NAME], key))
    assert read_upload(NAME, chain, pem_of(key), AT)[0].fullchain.startswith("-----BEGIN")


@pytest.mark.parametrize(
    ("names", "hostname"),
    [(["other.example"], NAME), (["*.example"], NAME), (["*.shop.example"], "shop.example"), ([], "leaf.example"),
     (["*.shop.example"], "a.b.shop.example"), (["www.shop.example"], "*.shop.example")],
)  # fmt: skip
def test_another_name_is_refused(authority: Authority, names: list[str], hostname: str) -> None:
    key = curve_key()
    with pytest.raises(BadInput, match="fullchain: its first certificate is not for"):
        read_upload(hostname, authority.chain(names, key), pem_of(key), AT)


@pytest.mark.parametrize(("days", "said"), [((-9, -1), "expired"), ((1, 9), "not valid yet")])
def test_out_of_time(authority: Authority, days: tuple[int, int], said: str) -> None:
    key = curve_key()
    with pytest.raises(BadInput, match=f"fullchain: certificate 1 .*{said}"):
        read_upload(NAME, authority.chain([NAME], key, days=days), pem_of(key), AT)


def test_a_chain_that_does_not_hold(authority: Authority) -> None:
    key = curve_key()
    leaf = authority.issue([NAME], key)
    stranger, no_authority = Authority("Test Authority"), Authority("No Authority", above=authority, ca=False)
    for chain in (
        chain_of(leaf, stranger.certificate),
        chain_of(leaf, leaf),
        chain_of(no_authority.issue([NAME], key), no_authority.certificate, authority.certificate),
    ):
        with pytest.raises(BadInput, match="fullchain: certificate 1 was not issued by certificate 2"):
            read_upload(NAME, chain, pem_of(key), AT)
    with pytest.raises(BadInput, match="more than 10"):
        read_upload(NAME, chain_of(leaf, *[authority.certificate] * 10), pem_of(key), AT)


def test_keys_that_do_not_fit(authority: Authority) -> None:
    key = curve_key()
    chain = authority.chain([NAME], key)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()
    other = pem_of(curve_key())
    for text, said in (
        (locked, "passphrase"),
        (other, "does not belong"),
        ("junk", "not a private key"),
        (chain, "PEM"),
    ):
        with pytest.raises(BadInput, match=f"private_key: .*{said}") as refused:
            read_upload(NAME, chain, text, AT)
        assert text.splitlines()[1 if "\n" in text else 0] not in refused.value.message
    kinds = (rsa.generate_private_key(public_exponent=65537, key_size=1024), ed25519.Ed25519PrivateKey.generate(),
             ec.generate_private_key(ec.SECP256K1()))  # fmt: skip
    for weak in kinds:
        with pytest.raises(BadInput, match="private_key: "):
            read_upload(NAME, authority.chain([NAME], weak), pem_of(weak), AT)


@pytest.mark.parametrize(
    "text", ["", "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x" * 70_000, "\udc80"]
)
def test_what_is_no_certificate(text: str) -> None:
    with pytest.raises(BadInput, match="fullchain"):
        read_upload(NAME, text, pem_of(curve_key()), AT)
