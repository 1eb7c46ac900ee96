"""How certificates are issued by an ACME server (RFC 8555): what an operator says about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


@dataclass(frozen=True, slots=True)
class AcmeSettings:
    """The server, and the ways to prove names. Nothing is issued before `agrees`; None: nothing was said of it."""

    directory: str = LETS_ENCRYPT
    email: str = ""
    agrees: bool | None = None  # to the server's terms of service
    ca_bundle: str = ""  # file of certificates that the server's own is verified with; "": the host's
    challenges: tuple[str, ...] = ("tls-alpn-01", "http-01", "dns-01")  # the first first, then the next
    dns_hook: tuple[str, ...] = ()  # command that sets and removes TXT records
    dns_hook_timeout: float = 120.0  # seconds
    resolvers: tuple[str, ...] = ()  # DNS servers that are asked, as ADDRESS or ADDRESS:PORT; (): the host's
    own_domain: bool | None = None  # a certificate for the cloud's own domain, too; None: where it can have one
    names_per_week: int = 40  # new names of the cloud's domain, where each has a certificate of its own


def with_email(settings: AcmeSettings, email: str) -> AcmeSettings:
    """Return the settings with what `roost up --email` was told, which agrees to the terms; the file comes first."""
    agrees = bool(email) if settings.agrees is None else settings.agrees
    return replace(settings, agrees=agrees, email=settings.email or email)


def split_resolver(text: str, usual: int = 53) -> tuple[str, int]:
    """Return the address and port of a DNS server as in the settings, like 9.9.9.9, 127.0.0.1:5353 or [::1]:53."""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        return address, int(port.removeprefix(":") or usual)
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return address, int(port)
    return text, usual
