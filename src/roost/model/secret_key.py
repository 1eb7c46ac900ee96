"""Secret keys: keys of an app that are used where they are kept, and never handed out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from roost.model.errors import BadInput

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class KeyType(StrEnum):
    """What a key is for, by the names of the Fly Machines API."""

    HS256 = "hs256"
    HS384 = "hs384"
    HS512 = "hs512"
    ES256 = "es256"
    XAES256GCM = "xaes256gcm"
    NACL_AUTH = "nacl_auth"
    NACL_BOX = "nacl_box"
    NACL_SECRETBOX = "nacl_secretbox"
    NACL_SIGN = "nacl_sign"


SIGNERS = frozenset({KeyType.HS256, KeyType.HS384, KeyType.HS512, KeyType.ES256, KeyType.NACL_AUTH, KeyType.NACL_SIGN})
ENCRYPTERS = frozenset({KeyType.XAES256GCM, KeyType.NACL_BOX, KeyType.NACL_SECRETBOX})


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key without its secret. `public` is empty for a type that has no public half."""

    app: str
    name: str
    type: KeyType
    public: bytes
    created_at: float
    updated_at: float


def check_key_name(name: str) -> str:
    """Return `name` if it can be a secret key's name, else raise BadInput."""
    if _NAME.fullmatch(name):
        return name
    raise BadInput(
        f"{name[:80]!r} can't be a secret key's name", hint="use up to 128 letters, digits, '_', '-' and '.'"
    )


def key_type(text: str) -> KeyType:
    """Return the type of that name; raises BadInput."""
    try:
        return KeyType(text)
    except ValueError:
        raise BadInput(
            f"type: {text[:40]!r} is not a type of secret key", hint=f"use one of {', '.join(KeyType)}"
        ) from None
