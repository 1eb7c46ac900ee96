"""Macaroons: tokens that whoever holds one can weaken, without asking anybody. Pure.

The format is version 2 of libmacaroons and go-macaroon, so their libraries read, weaken and make these as well.
A macaroon is an identifier, a list of caveats (conditions under which it counts) and a signature: an HMAC chain
over all of them that begins with a key which only the cloud has. A caveat can be added by anyone and removed by
nobody. A third party's caveat names a key, encrypted; it is met by a discharge, a macaroon made with that key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

_VERSION = 2
_END, _LOCATION, _IDENTIFIER, _VERIFICATION, _SIGNATURE = 0, 1, 2, 4, 6
_KEY_GENERATOR = b"macaroons-key-generator".ljust(32, b"\0")
LARGEST = 16_384  # bytes of one macaroon
MOST_CAVEATS = 100
_NONCE = 24


class BadMacaroon(ValueError):
    """It can't be read, or its signature is not the cloud's. The text holds nothing of the token."""


@dataclass(frozen=True, slots=True)
class Caveat:
    """One condition. Of a third party when `verification` is there: the key of its discharge, encrypted."""

    identifier: bytes
    location: bytes = b""
    verification: bytes = b""


@dataclass(frozen=True, slots=True)
class Macaroon:
    """Identifier, caveats in the order they were added, signature."""

    identifier: bytes
    signature: bytes
    location: bytes = b""
    caveats: tuple[Caveat, ...] = ()

    def __repr__(self) -> str:
        return f"Macaroon({self.identifier!r}, {len(self.caveats)} caveats)"


def mint(key: bytes, identifier: bytes, location: bytes = b"") -> Macaroon:
    """Make a macaroon without caveats."""
    return Macaroon(identifier, _hmac(_derived(key), identifier), location)


def attenuated(macaroon: Macaroon, condition: bytes) -> Macaroon:
    """Return it with one more condition: weaker, never stronger."""
    return replace(
        macaroon,
        caveats=(*macaroon.caveats, Caveat(condition)),
        signature=_hmac(macaroon.signature, condition),
    )


def with_third_party(macaroon: Macaroon, key: bytes, identifier: bytes, location: bytes, nonce: bytes) -> Macaroon:
    """Return it with a condition that `location` must confirm by a discharge made with `key`."""
    from nacl.secret import SecretBox

    sealed = bytes(SecretBox(macaroon.signature).encrypt(_derived(key), nonce))
    return replace(
        macaroon,
        caveats=(*macaroon.caveats, Caveat(identifier, location, sealed)),
        signature=_pair(macaroon.signature, sealed, identifier),
    )


def bound(discharge: Macaroon, root: Macaroon) -> Macaroon:
    """Return a discharge that counts only together with `root`."""
    return replace(discharge, signature=_pair(bytes(32), root.signature, discharge.signature))


def verify(
    macaroon: Macaroon, key: bytes, accepts: Callable[[bytes], bool], discharges: Sequence[Macaroon] = ()
) -> None:
    """Raise BadMacaroon unless `key` made it, `accepts` says yes to each condition, and each discharge counts too."""
    used: set[int] = set()
    signature = _chain(macaroon, _derived(key), macaroon, accepts, discharges, used)
    if not hmac.compare_digest(signature, macaroon.signature):
        raise BadMacaroon("its signature is not right")


def _chain(
    macaroon: Macaroon,
    derived: bytes,
    root: Macaroon,
    accepts: Callable[[bytes], bool],
    discharges: Sequence[Macaroon],
    used: set[int],
) -> bytes:
    """Return the signature that the macaroon ought to have. Conditions are asked for whether or not it has it."""
    signature = _hmac(derived, macaroon.identifier)
    refused = False
    for caveat in macaroon.caveats:
        if caveat.verification:
            _discharge(caveat, signature, root, accepts, discharges, used)
            signature = _pair(signature, caveat.verification, caveat.identifier)
        else:
            refused |= not accepts(caveat.identifier)
            signature = _hmac(signature, caveat.identifier)
    if refused:
        raise BadMacaroon("one of its conditions is not met")
    return signature


def _discharge(
    caveat: Caveat,
    signature: bytes,
    root: Macaroon,
    accepts: Callable[[bytes], bool],
    discharges: Sequence[Macaroon],
    used: set[int],
) -> None:
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    for number, found in enumerate(discharges):
        if found.identifier == caveat.identifier and number not in used:
            used.add(number)
            break
    else:
        raise BadMacaroon("a discharge is missing: send it along, separated by a comma")
    try:
        key = SecretBox(signature).decrypt(caveat.verification)
    except (CryptoError, ValueError, TypeError):
        raise BadMacaroon("its signature is not right") from None
    made = _chain(found, key, root, accepts, discharges, used)
    if not hmac.compare_digest(_pair(bytes(32), root.signature, made), found.signature):
        raise BadMacaroon("a discharge does not belong to it")


def encode(macaroon: Macaroon) -> str:
    """Return it as text: version 2, in base64 for URLs without padding."""
    out = bytearray([_VERSION])
    if macaroon.location:
        out += _field(_LOCATION, macaroon.location)
    out += _field(_IDENTIFIER, macaroon.identifier) + bytes([_END])
    for caveat in macaroon.caveats:
        if caveat.location:
            out += _field(_LOCATION, caveat.location)
        out += _field(_IDENTIFIER, caveat.identifier)
        if caveat.verification:
            out += _field(_VERIFICATION, caveat.verification)
        out += bytes([_END])
    out += bytes([_END]) + _field(_SIGNATURE, macaroon.signature)
    return base64.urlsafe_b64encode(out).rstrip(b"=").decode("ascii")


def decode(text: str) -> Macaroon:
    """Read what `encode` (or another library) wrote; raises BadMacaroon."""
    if len(text) > LARGEST * 4 // 3:
        raise BadMacaroon("it is too large")
    try:
        plain = text.rstrip("=").replace("+", "-").replace("/", "_")
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadMacaroon("it is not base64") from None
    if not data or data[0] != _VERSION:
        raise BadMacaroon("it is not a macaroon of version 2")
    reader = _Reader(data[1:])
    header = reader.section()
    caveats: list[Caveat] = []
    while section := reader.section():
        caveats.append(Caveat(_required(section), section.get(_LOCATION, b""), section.get(_VERIFICATION, b"")))
        if len(caveats) > MOST_CAVEATS:
            raise BadMacaroon(f"it has more than {MOST_CAVEATS} conditions")
    signature = reader.last(_SIGNATURE)
    if _VERIFICATION in header or len(signature) != hashlib.sha256().digest_size:
        raise BadMacaroon("it is damaged")
    return Macaroon(_required(header), signature, header.get(_LOCATION, b""), tuple(caveats))


def _required(section: dict[int, bytes]) -> bytes:
    if _IDENTIFIER not in section:
        raise BadMacaroon("it is damaged")
    return section[_IDENTIFIER]


class _Reader:
    """Reads fields one after the other: type, length, content."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def section(self) -> dict[int, bytes]:
        """Return the fields up to the next end mark; types come in rising order, each at most once."""
        found: dict[int, bytes] = {}
        while (kind := self._number()) != _END:
            if kind not in (_LOCATION, _IDENTIFIER, _VERIFICATION) or kind <= max(found, default=0):
                raise BadMacaroon("it is damaged")
            found[kind] = self._content()
        return found

    def last(self, kind: int) -> bytes:
        """Return the content of the last field, which must be of that type."""
        if self._number() != kind:
            raise BadMacaroon("it is damaged")
        content = self._content()
        if self._at != len(self._data):
            raise BadMacaroon("it is damaged")
        return content

    def _content(self) -> bytes:
        size = self._number()
        content = self._data[self._at : self._at + size]
        if len(content) != size:
            raise BadMacaroon("it is cut off")
        self._at += size
        return content

    def _number(self) -> int:
        """Return the next varint."""
        value = 0
        for shift in range(0, 35, 7):
            if self._at >= len(self._data):
                raise BadMacaroon("it is cut off")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise BadMacaroon("it is damaged")


def _field(kind: int, content: bytes) -> bytes:
    return _varint(kind) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _derived(key: bytes) -> bytes:
    return _hmac(_KEY_GENERATOR, key)


def _pair(key: bytes, first: bytes, second: bytes) -> bytes:
    return _hmac(key, _hmac(key, first) + _hmac(key, second))


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()
