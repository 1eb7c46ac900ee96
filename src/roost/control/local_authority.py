"""The cloud's own certificate authority, so that https works before there is any other: for development and at home.

State owned: the authority's certificate and its key, and the wildcard certificate of the cloud's domain, in the store;
keys are sealed. Made when first needed. The authority may sign names of the cloud's domain only (name constraints), so
trusting it trusts nothing else; with another domain another one is made. Certificates for single names are
kept in memory only.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from roost.control.core import Core
from roost.edge.contract import Material
from roost.model.errors import HostFailure
from roost.store.cloud_certificates import StoredCertificate

AUTHORITY_LIFE = timedelta(days=3650)
LIFE = timedelta(days=397)  # the longest that clients accept
RENEW_BEFORE = timedelta(days=132).total_seconds()
_EARLIER = timedelta(hours=1)  # for clients whose clock is slow
_MOST = 5000  # certificates for single names in memory


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority, opened."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


class LocalAuthority:
    """Signs certificates for names of the cloud's domain."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._guard = threading.Lock()
        self._opened: Authority | None = None
        self._singles: dict[str, tuple[float, Material]] = {}

    def pem(self) -> str:
        """Return the authority's certificate, for clients to trust."""
        return self._authority().certificate.public_bytes(Encoding.PEM).decode()

    def wildcard(self) -> Material:
        """Return the certificate for the cloud's domain and the names below it."""
        domain, name = self._core.cloud.domain, f"wildcard {self._core.cloud.domain}"
        with self._guard:
            stored = self._core.store.cloud_certificates.find(name)
            if stored is None or stored.expires_at - RENEW_BEFORE < self._core.now():
                made = sign(self._locked_authority(), [domain, f"*.{domain}"], self._core.now())
                stored = self._keep(name, made, self._core.now() + LIFE.total_seconds())
            return self._open(name, stored)

    def single(self, name: str) -> Material:
        """Return a certificate for one name of the cloud's domain."""
        with self._guard:
            expires_at, material = self._singles.get(name, (0.0, None))
            if material is None or expires_at - RENEW_BEFORE < self._core.now():
                if len(self._singles) >= _MOST:
                    self._singles.clear()
                material = sign(self._locked_authority(), [name], self._core.now())
                self._singles[name] = (self._core.now() + LIFE.total_seconds(), material)
            return material

    def _authority(self) -> Authority:
        with self._guard:
            return self._locked_authority()

    def _locked_authority(self) -> Authority:
        if self._opened is None:
            name = f"authority {self._core.cloud.domain}"
            stored = self._core.store.cloud_certificates.find(name)
            if stored is None or stored.expires_at - LIFE.total_seconds() < self._core.now():
                made = make_authority(self._core.cloud.domain, self._core.cloud.id, self._core.now())
                stored = self._keep(name, made, self._core.now() + AUTHORITY_LIFE.total_seconds())
            material = self._open(name, stored)
            key = load_pem_private_key(material.key, password=None)
            if not isinstance(key, EllipticCurvePrivateKey):
                raise HostFailure("the key of the local certificate authority is damaged")
            self._opened = Authority(x509.load_pem_x509_certificate(material.chain), key)
        return self._opened

    def _keep(self, name: str, made: Material, expires_at: float) -> StoredCertificate:
        sealed = self._core.vault.seal(made.key, f"cloud certificate/{name}")
        stored = StoredCertificate(made.chain.decode(), sealed, expires_at, self._core.now())
        return self._core.store.cloud_certificates.save(name, stored)

    def _open(self, name: str, stored: StoredCertificate) -> Material:
        return Material(stored.chain.encode(), self._core.vault.open(stored.sealed, f"cloud certificate/{name}"))


def make_authority(domain: str, cloud_id: str, now: float) -> Material:
    """Return a fresh authority for names of `domain`."""
    key = generate_private_key(SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Roost"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Roost local CA of {domain} ({cloud_id})"[:64]),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    begin = datetime.fromtimestamp(now, UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _EARLIER)
        .not_valid_after(begin + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints([x509.DNSName(domain)], None), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )
    return Material(certificate.public_bytes(Encoding.PEM), _pem(key))


def sign(authority: Authority, names: list[str], now: float) -> Material:
    """Return a fresh certificate for server names."""
    key = generate_private_key(SECP256R1())
    begin = datetime.fromtimestamp(now, UTC)
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    above = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _EARLIER)
        .not_valid_after(begin + LIFE - _EARLIER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(authority.key, SHA256())
    )
    return Material(certificate.public_bytes(Encoding.PEM), _pem(key))


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
