"""Certificates that are brought as PEM text: what is accepted, and why the rest is refused. Keeps nothing.

No error repeats anything of a private key.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from roost.model.certificate import WILDCARD, KeyKind, Uploaded
from roost.model.errors import BadInput

_LARGEST = 64 * 1024  # characters
_LONGEST = 10  # certificates in a chain
_SMALLEST_RSA = 2048  # bits
_CURVES = ("secp256r1", "secp384r1")


def read_upload(hostname: str, fullchain: str, private_key: str, now: float) -> tuple[Uploaded, bytes]:
    """Return a certificate for `hostname` and its key as PKCS 8 PEM; raises BadInput naming the field."""
    chain = _chain(fullchain)
    leaf = chain[0]
    moment = datetime.fromtimestamp(now, UTC)
    if not _covers(leaf, hostname):
        raise BadInput(
            f"fullchain: its first certificate is not for {hostname}", hint="the certificate of the name comes first"
        )
    for number, certificate in enumerate(chain):
        if certificate.not_valid_after_utc <= moment:
            raise BadInput(f"fullchain: certificate {number + 1} expired at {certificate.not_valid_after_utc:%Y-%m-%d}")
        if certificate.not_valid_before_utc > moment:
            raise BadInput(f"fullchain: certificate {number + 1} is not valid yet")
    _linked(chain)
    kind, key = _key(private_key, leaf)
    pem = "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in chain)
    return Uploaded(pem, kind, issuer_of(leaf), leaf.not_valid_after_utc.timestamp(), now), key


def _chain(text: str) -> list[x509.Certificate]:
    if len(text) > _LARGEST:
        raise BadInput(f"fullchain: more than {_LARGEST} characters")
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise BadInput("fullchain: it holds no certificates in PEM form") from None
    if len(chain) > _LONGEST:
        raise BadInput(f"fullchain: more than {_LONGEST} certificates")
    return chain


def _covers(leaf: x509.Certificate, hostname: str) -> bool:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    except (x509.ExtensionNotFound, ValueError):
        return False
    _, dot, parent = hostname.partition(".")
    return hostname in known or (not hostname.startswith(WILDCARD) and bool(dot) and f"{WILDCARD}{parent}" in known)


def _linked(chain: list[x509.Certificate]) -> None:
    """Raise BadInput unless each certificate was issued by the next one."""
    for number, (certificate, issuer) in enumerate(pairwise(chain)):
        try:
            certificate.verify_directly_issued_by(issuer)
            basics = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
            basics = None
        if basics is None or not basics.ca:
            raise BadInput(
                f"fullchain: certificate {number + 1} was not issued by certificate {number + 2}",
                hint="each certificate is followed by the one that issued it",
            )


def _key(text: str, leaf: x509.Certificate) -> tuple[KeyKind, bytes]:
    if len(text) > _LARGEST:
        raise BadInput(f"private_key: more than {_LARGEST} characters")
    try:
        key = load_pem_private_key(text.encode(), password=None)
        same = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        theirs = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except TypeError:
        raise BadInput("private_key: it is protected by a passphrase", hint="send it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadInput("private_key: it is not a private key in PEM form") from None
    if same != theirs:
        raise BadInput("private_key: it does not belong to the first certificate of fullchain")
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < _SMALLEST_RSA:
            raise BadInput(f"private_key: an RSA key has at least {_SMALLEST_RSA} bits, not {key.key_size}")
        kind = KeyKind.RSA
    elif isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        kind = KeyKind.ECDSA
    else:
        raise BadInput("private_key: its kind is not supported", hint="use RSA, or ECDSA on P-256 or P-384")
    return kind, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def issuer_of(leaf: x509.Certificate) -> str:
    """Return the name of whoever issued a certificate."""
    for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        if names := leaf.issuer.get_attributes_for_oid(kind):
            return str(names[0].value)[:200]
    return ""
