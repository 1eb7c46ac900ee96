"""Makes that a certificate authority finds a proof where it looks, and takes it away again.

State owned: what is shown now, at the edge (in memory) and in DNS (by the operator's command). Showing twice is as
once. After a kill the edge has forgotten, and whoever goes on with the order shows it again; a DNS record that was left
behind is harmless, and goes when the order is gone on with. The command gets what to do as its last argument,
`present` or `cleanup`, and the record as JSON on its standard input; it ends when the record can be seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from roost.control.acme_client import AcmeTrouble, Proof
from roost.edge.contract import ChallengeAnswers, Material
from roost.host.process import run
from roost.model.acme import AcmeSettings
from roost.model.certificate import Certificate
from roost.model.errors import RoostError
from roost.plan.issuing import ALPN, HTTP, possible_ways

_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # id-pe-acmeIdentifier (RFC 8737)
# whose certificate it is, name of a challenge's record -> where the record goes; raises AcmeTrouble
RecordPlace = Callable[[Certificate, str], str]


class NameProofs:
    """Shows and hides proofs."""

    def __init__(self, edge: ChallengeAnswers, settings: AcmeSettings, place: RecordPlace) -> None:
        self._edge, self._settings, self._place = edge, settings, place
        self._records: dict[tuple[str, str], str] = {}  # name and value of a proof -> where its record is

    def possible(self, https: bool) -> tuple[str, ...]:
        """Return the ways that this cloud can prove names, the preferred first."""
        return possible_ways(self._settings.challenges, https=https, dns=bool(self._settings.dns_hook))

    def show(self, proof: Proof, certificate: Certificate) -> None:
        """Let the authority find it; raises AcmeTrouble when the command for DNS fails, or must not be called."""
        if proof.kind == HTTP:
            self._edge.set_http(proof.name, proof.token, proof.value)
        elif proof.kind == ALPN:
            self._edge.set_tls(proof.name, challenge_certificate(proof.name, proof.value))
        else:
            place = self._place(certificate, f"_acme-challenge.{proof.name}")
            self._records[proof.name, proof.value] = place
            self._call("present", place, proof)

    def hide(self, proof: Proof) -> None:
        """Take it away."""
        if proof.kind == HTTP:
            self._edge.clear_http(proof.name, proof.token)
        elif proof.kind == ALPN:
            self._edge.clear_tls(proof.name)
        elif place := self._records.pop((proof.name, proof.value), ""):
            self._call("cleanup", place, proof)

    def _call(self, action: str, place: str, proof: Proof) -> None:
        record = {"name": place, "type": "TXT", "value": proof.value, "ttl": 60}
        try:
            run(
                [*self._settings.dns_hook, action],
                input=json.dumps(record).encode(),
                timeout=self._settings.dns_hook_timeout,
                output_limit=4096,
            )
        except (RoostError, OSError) as error:
            told = f"the command of acme.dns_hook failed to {action} a record; what it said is in roostd's log"
            raise AcmeTrouble("dnsHook", told, detail=f"{error!s:.300}") from None


def challenge_certificate(name: str, authorization: str) -> Material:
    """Return the certificate that answers TLS-ALPN-01 for a name."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ACME challenge")])
    digest = hashlib.sha256(authorization.encode()).digest()
    octets = bytes([4, len(digest)]) + digest  # DER: OCTET STRING
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(_IDENTIFIER, octets), critical=True)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Material(made.public_bytes(Encoding.PEM), pem)
