"""The local authority: what it signs verifies, and it can sign for the cloud's domain alone."""

from __future__ import annotations

import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from roost.control.local_authority import Authority, make_authority, sign
from roost.edge.contract import Material


def opened(made: Material) -> Authority:
    key = load_pem_private_key(made.key, password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    return Authority(x509.load_pem_x509_certificate(made.chain), key)


def verify(authority: Authority, made: Material, name: str) -> None:
    policy = PolicyBuilder().store(Store([authority.certificate])).build_server_verifier(x509.DNSName(name))
    policy.verify(x509.load_pem_x509_certificate(made.chain), [])


def test_what_it_signs_verifies_for_these_names_only() -> None:
    authority = opened(make_authority("apps.example.org", "0123abcd", time.time()))
    made = sign(authority, ["apps.example.org", "*.apps.example.org"], time.time())
    verify(authority, made, "shop.apps.example.org")
    with pytest.raises(VerificationError):
        verify(authority, made, "example.org")


def test_it_may_sign_for_its_domain_alone() -> None:
    authority = opened(make_authority("localhost", "0123abcd", time.time()))
    verify(authority, sign(authority, ["shop.localhost"], time.time()), "shop.localhost")
    with pytest.raises(VerificationError):
        verify(authority, sign(authority, ["bank.example.com"], time.time()), "bank.example.com")
