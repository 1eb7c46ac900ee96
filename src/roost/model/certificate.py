"""Certificates: host names of an app beyond APP.DOMAIN, what was uploaded or asked for, and what DNS said last."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from roost.model.errors import BadInput

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST = 253  # characters of a host name (RFC 1035)
WILDCARD = "*."


class Status(StrEnum):
    """How far a certificate has come, in the words of the Fly Machines API."""

    ACTIVE = "active"
    PENDING_OWNERSHIP = "pending_ownership"  # nothing in DNS says that the name is the app's
    PENDING_VALIDATION = "pending_validation"


class KeyKind(StrEnum):
    """The kind of key in a certificate."""

    RSA = "rsa"
    ECDSA = "ecdsa"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A certificate that its owner brought, without its key. Times are Unix seconds."""

    fullchain: str  # PEM, the certificate of the host name first
    kind: KeyKind
    issuer: str
    expires_at: float
    created_at: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What DNS said. `failed` is why it could not be asked, "" if it could."""

    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    cname: tuple[str, ...] = ()
    challenge: str = ""  # where the name for DNS challenges points
    ownership: tuple[str, ...] = ()
    target_a: tuple[str, ...] = ()  # addresses of the app's own name in the cloud's domain
    target_aaaa: tuple[str, ...] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that a certificate authority issued, without its key. Times are Unix seconds."""

    fullchain: str
    kind: KeyKind
    issuer: str
    begins_at: float
    expires_at: float
    created_at: float
    renew_at: float
    ask_at: float  # when to ask the authority again whether it wants the renewal earlier


@dataclass(frozen=True, slots=True)
class Attempt:
    """How far the issuing of a certificate is: the order under way, or why the latest one failed."""

    order: str = ""  # its URL at the authority; "" when none is under way
    challenge: str = ""  # how the name is being proven, like http-01
    failures: int = 0  # in a row
    next_at: float = 0.0  # not before this time
    error: str = ""  # the authority's class of error, like "dns", or one of ours
    message: str = ""
    rate_limited_until: float = 0.0
    failed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A host name of an app, and what it has or waits for."""

    app: str
    hostname: str
    acme_requested: bool
    custom: Uploaded | None
    seen: Seen | None
    checked_at: float  # 0: never
    created_at: float
    updated_at: float
    issued: Issued | None = None
    attempt: Attempt | None = None

    @property
    def base(self) -> str:
        """The host name without the star of a wildcard."""
        return self.hostname.removeprefix(WILDCARD)


def covering(hostname: str) -> str:
    """Return the wildcard that covers a host name, "" for one that is a wildcard itself."""
    return "" if hostname.startswith(WILDCARD) else f"{WILDCARD}{hostname.partition('.')[2]}"


def check_hostname(hostname: str) -> str:
    """Return a host name in lower case if it can have a certificate, else raise BadInput. `*.` may be in front."""
    name = hostname.lower().removesuffix(".")
    base = name.removeprefix(WILDCARD)
    labels = base.split(".")
    shown = repr(hostname[:80])
    if not hostname.isascii():
        raise BadInput(f"hostname: {shown} is not ASCII", hint="write it in its xn-- form (Punycode)")
    if len(name) > _LONGEST or len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadInput(f"hostname: {shown} is not a host name", hint="write it like shop.example.com or *.example.com")
    if labels[-1].isdecimal():
        raise BadInput(f"hostname: {shown} is an address", hint="certificates are for names")
    return name
