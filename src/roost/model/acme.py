"""How certificates are issued by an ACME server (RFC 8555): what an operator says about it."""

from __future__ import annotations

from dataclasses import dataclass

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


@dataclass(frozen=True, slots=True)
class AcmeSettings:
    """The server, and the ways to prove names. Nothing is issued before `agrees`."""

    directory: str = LETS_ENCRYPT
    email: str = ""
    agrees: bool = False  # to the server's terms of service
    ca_bundle: str = ""  # file of certificates that the server's own is verified with; "": the host's
    challenges: tuple[str, ...] = ("tls-alpn-01", "http-01", "dns-01")  # the first first, then the next
    dns_hook: tuple[str, ...] = ()  # command that sets and removes TXT records
    dns_hook_timeout: float = 120.0  # seconds
