"""What each type of secret key does: making, checking, encrypting, decrypting, signing, verifying. Keeps nothing.

A key is bytes: for es256 the private number (32 bytes, big-endian), for nacl_sign the seed, else the key itself.
Encrypted values begin with their nonce; for nacl_box they are sealed boxes, which whoever has the public half can make.
Comparisons take constant time. Raises BadInput for what does not fit, with no word about the key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable

import nacl.exceptions
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.public import PrivateKey, SealedBox
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey

from roost.model.errors import BadInput
from roost.model.secret_key import ENCRYPTERS, SIGNERS, KeyType

_HASHES: dict[KeyType, Callable[..., hashlib._Hash]] = {
    KeyType.HS256: hashlib.sha256,
    KeyType.HS384: hashlib.sha384,
    KeyType.HS512: hashlib.sha512,
}
_SMALLEST = {KeyType.HS256: 32, KeyType.HS384: 48, KeyType.HS512: 64}  # RFC 7518, section 3.2
_LARGEST = 1024
_NONCE = 24  # bytes: XAES-256-GCM and secretbox
_TAG = 16
_HALF = 32  # bytes of each number in an ES256 signature (RFC 7518, section 3.4)
_NOT_OURS = "it was not encrypted with this key, or not with this associated_data"


def generate(kind: KeyType) -> bytes:
    """Return a fresh key."""
    if kind is KeyType.ES256:
        return ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(_HALF, "big")
    return os.urandom(_SMALLEST.get(kind, 32))


def check(kind: KeyType, value: bytes) -> bytes:
    """Return a key that was given, in the form that it is kept in; raises BadInput."""
    if kind in _HASHES:
        if not _SMALLEST[kind] <= len(value) <= _LARGEST:
            raise BadInput(f"value: an {kind} key has {_SMALLEST[kind]} to {_LARGEST} bytes, not {len(value)}")
        return value
    if kind is KeyType.NACL_SIGN and len(value) == 64:
        seed = value[:32]
        if not hmac.compare_digest(bytes(SigningKey(seed).verify_key), value[32:]):
            raise BadInput("value: the public half of the nacl_sign key does not belong to its private half")
        return seed
    if len(value) != 32:
        raise BadInput(f"value: a key of type {kind} has 32 bytes, not {len(value)}")
    if kind is KeyType.ES256:
        _es256(value)
    return value


def public_half(kind: KeyType, key: bytes) -> bytes:
    """Return the public half: raw 32 bytes, for es256 the uncompressed point; b"" where there is none."""
    if kind is KeyType.ES256:
        return _es256(key).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if kind is KeyType.NACL_BOX:
        return bytes(PrivateKey(key).public_key)
    return bytes(SigningKey(key).verify_key) if kind is KeyType.NACL_SIGN else b""


def encrypt(kind: KeyType, key: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
    """Return `plaintext` encrypted; only xaes256gcm takes associated data."""
    _require(kind, ENCRYPTERS, "encrypts", associated)
    if kind is KeyType.XAES256GCM:
        nonce = os.urandom(_NONCE)
        return nonce + xaes256gcm(key, nonce, plaintext, associated)
    if kind is KeyType.NACL_SECRETBOX:
        return bytes(SecretBox(key).encrypt(plaintext))
    return bytes(SealedBox(PrivateKey(key).public_key).encrypt(plaintext))


def decrypt(kind: KeyType, key: bytes, ciphertext: bytes, associated: bytes = b"") -> bytes:
    """Return what was encrypted; raises BadInput."""
    _require(kind, ENCRYPTERS, "decrypts", associated)
    try:
        if kind is KeyType.XAES256GCM:
            if len(ciphertext) < _NONCE + _TAG:
                raise InvalidTag
            derived, nonce = _xaes_parts(key, ciphertext[:_NONCE])
            return AESGCM(derived).decrypt(nonce, ciphertext[_NONCE:], associated)
        if kind is KeyType.NACL_SECRETBOX:
            return bytes(SecretBox(key).decrypt(ciphertext))
        return bytes(SealedBox(PrivateKey(key)).decrypt(ciphertext))
    except (InvalidTag, nacl.exceptions.CryptoError, ValueError):
        raise BadInput(f"ciphertext can't be decrypted: {_NOT_OURS}") from None


def sign(kind: KeyType, key: bytes, message: bytes) -> bytes:
    """Return a signature: for es256 both numbers in 64 bytes, as in JWS."""
    _require(kind, SIGNERS, "signs")
    if kind is KeyType.ES256:
        algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)
        numbers = decode_dss_signature(_es256(key).sign(message, algorithm))
        return b"".join(number.to_bytes(_HALF, "big") for number in numbers)
    if kind is KeyType.NACL_SIGN:
        return bytes(SigningKey(key).sign(message).signature)
    return _mac(kind, key, message)


def verify(kind: KeyType, key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a signature is this key's for this message."""
    _require(kind, SIGNERS, "verifies")
    if kind is KeyType.ES256:
        if len(signature) != 2 * _HALF:
            return False
        numbers = (int.from_bytes(signature[:_HALF], "big"), int.from_bytes(signature[_HALF:], "big"))
        try:
            _es256(key).public_key().verify(encode_dss_signature(*numbers), message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True
    if kind is KeyType.NACL_SIGN:
        try:
            VerifyKey(bytes(SigningKey(key).verify_key)).verify(message, signature)
        except (nacl.exceptions.CryptoError, ValueError):
            return False
        return True
    return hmac.compare_digest(_mac(kind, key, message), signature)


def xaes256gcm(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """XAES-256-GCM (C2SP): AES-256-GCM with a nonce of 24 bytes, which may be random for any number of messages."""
    derived, rest = _xaes_parts(key, nonce)
    return AESGCM(derived).encrypt(rest, plaintext, associated)


def _xaes_parts(key: bytes, nonce: bytes) -> tuple[bytes, bytes]:
    """Return the key for one message, derived by CMAC from the nonce's first half, and the other half."""
    block = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # noqa: S305 (single blocks, as CMAC is made of)
    first = int.from_bytes(block.update(bytes(16)), "big") << 1
    mask = (first ^ 0x87 if first >> 128 else first) & (2**128 - 1)
    parts = (b"\0" + bytes([number]) + b"X\0" + nonce[:12] for number in (1, 2))
    derived = b"".join(block.update((int.from_bytes(part, "big") ^ mask).to_bytes(16, "big")) for part in parts)
    return derived, nonce[12:]


def _mac(kind: KeyType, key: bytes, message: bytes) -> bytes:
    if kind is KeyType.NACL_AUTH:  # crypto_auth of NaCl: HMAC-SHA-512, its first 256 bits
        return hmac.new(key, message, hashlib.sha512).digest()[:32]
    return hmac.new(key, message, _HASHES[kind]).digest()


def _es256(key: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        return ec.derive_private_key(int.from_bytes(key, "big"), ec.SECP256R1())
    except ValueError:
        raise BadInput("value: it is not a private number of the curve P-256") from None


def _require(kind: KeyType, kinds: frozenset[KeyType], verb: str, associated: bytes = b"") -> None:
    if kind not in kinds:
        raise BadInput(f"a key of type {kind} {verb} nothing", hint=f"types that do: {', '.join(sorted(kinds))}")
    if associated and kind is not KeyType.XAES256GCM:
        raise BadInput(f"associated_data: a key of type {kind} has no such thing", hint="use a key of type xaes256gcm")
