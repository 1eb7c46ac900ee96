"""Secrets at rest, by envelope: a value is encrypted with the data key of what it belongs to, that with a key ring's.

State owned: the data keys, in the store, wrapped with keys that are kept apart from it (`KeyRing`); each is made when
first needed and goes with its app, after which nothing of that app can be opened from any copy of the database.
A value is bound to what it belongs to (app and name), so that it can't be moved to another name. The digest is an
HMAC: equal values can be told without guessing them from the database.

Rotation makes a new wrapping key, wraps each data key with it, and then removes the older ones. Killed anywhere it
leaves everything readable, and `resume` finishes it. Values from before there were data keys were encrypted with the
first wrapping key itself: they open as ever, until a rotation seals them anew.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from roost.control.key_ring import KEY, KeyRing, decrypt, encrypt
from roost.model.errors import HostFailure
from roost.store.data_keys import PREFIX, DataKeys, Place

CLOUD = "cloud"  # the data key of what belongs to no app
_DIGESTS = "digests"
_FIRST = 1


def of_app(app: str) -> str:
    """Return the name of an app's data key."""
    return f"app/{app}"


def keys_of(app: str) -> str:
    """Return the name of the lock that is held while something is sealed and stored for an app, or the app removed."""
    return f"keys:{app}"


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did: the number of the wrapping key now, and how many data keys were wrapped anew."""

    key: int
    data_keys: int
    values: int  # sealed anew, since they were sealed before there were data keys


class Vault:
    """Seals and opens values."""

    def __init__(self, ring: KeyRing, keys: DataKeys) -> None:
        self._ring = ring
        self._keys = keys
        self._turn = threading.Lock()
        self._opened: dict[tuple[str, bytes], bytes] = {}  # by name and wrapped form: a new key has another

    def seal(self, value: bytes, belongs_to: str, *, key: str = CLOUD) -> bytes:
        """Return `value` encrypted with the data key named `key`, bound to `belongs_to`."""
        return PREFIX + encrypt(self._data_key(key), value, belongs_to)

    def open(self, sealed: bytes, belongs_to: str, *, key: str = CLOUD) -> bytes:
        """Return the value; raises HostFailure when the key or the binding is not the one it was sealed with."""
        value = self._open(sealed, belongs_to, key)
        if value is None:
            raise HostFailure(
                f"the secret {belongs_to} can't be decrypted",
                hint="HOME/keys does not hold the keys it was sealed with: restore them, or set the secret again",
            )
        return value

    def _open(self, sealed: bytes, belongs_to: str, key: str) -> bytes | None:
        if sealed.startswith(PREFIX):
            data_key = self._existing(key)
            return decrypt(data_key, sealed[len(PREFIX) :], belongs_to) if data_key is not None else None
        first = self._ring.raw(_FIRST)
        return decrypt(first, sealed, belongs_to) if first is not None else None

    def digest(self, value: bytes) -> str:
        """Return 16 hex digits that are equal for equal values."""
        return hmac.new(self._data_key(_DIGESTS), value, hashlib.sha256).hexdigest()[:16]

    def _existing(self, name: str) -> bytes | None:
        stored = self._keys.find(name)
        if stored is None:
            return None
        known = self._opened.get((name, stored.wrapped))
        if known is None:
            if len(self._opened) > 10_000:
                self._opened.clear()
            known = self._opened[(name, stored.wrapped)] = self._ring.unwrap(stored.ring_key, stored.wrapped, name)
        return known

    def _data_key(self, name: str) -> bytes:
        found = self._existing(name)
        if found is not None:
            return found
        with self._turn:
            found = self._existing(name)
            if found is None:
                found = self._first_digest_key() if name == _DIGESTS else os.urandom(KEY)
                self._keys.add(name, *self._ring.wrap(found, name))
            return found

    def _first_digest_key(self) -> bytes:
        """Digests that are stored already, from before there were data keys, stay comparable."""
        first = self._ring.raw(_FIRST)
        if first is None or not self._keys.has_older_values():
            return os.urandom(KEY)
        return hashlib.sha256(b"roost digest" + first).digest()

    def rotate(self, fault: Callable[[str], None]) -> Rotation:
        """Replace the wrapping key; `fault` is called between steps. Raises HostFailure when a key can't be opened."""
        self._data_key(_DIGESTS)
        with self._turn:
            number = self._ring.add()
            fault("keys.rotate.made")
            return Rotation(number, self._rewrap(number, fault), self._retire(fault))

    def resume(self, fault: Callable[[str], None]) -> None:
        """Finish a rotation that was cut off; does nothing when there is none."""
        if len(self._ring.numbers) > 1:
            with self._turn:
                self._rewrap(self._ring.newest, fault)
                self._retire(fault)

    def _rewrap(self, number: int, fault: Callable[[str], None]) -> int:
        count = 0
        for name, stored in self._keys.wrapped_otherwise(number):
            data_key = self._ring.unwrap(stored.ring_key, stored.wrapped, name)
            _, wrapped = self._ring.wrap(data_key, name)
            count += self._keys.rewrap(name, stored.wrapped, number, wrapped)
            fault("keys.rotate.wrapped")
        return count

    def _retire(self, fault: Callable[[str], None]) -> int:
        """Seal anew what is sealed with the first wrapping key itself, then remove the older keys."""
        count = 0
        for place, sealed in self._keys.older_values():
            belongs_to, key = _belongs(place)
            value = self._open(sealed, belongs_to, key)
            if value is None:
                raise HostFailure(f"the secret {belongs_to} can't be decrypted", hint="set it again, then rotate again")
            count += self._keys.replace_older(place, sealed, PREFIX + encrypt(self._known(key), value, belongs_to))
            fault("keys.rotate.sealed")
        for number in self._ring.numbers[:-1]:
            self._ring.drop(number)
            fault("keys.rotate.dropped")
        return count

    def _known(self, name: str) -> bytes:
        """Return a data key while the turn is held."""
        found = self._existing(name)
        if found is None:
            found = os.urandom(KEY)
            self._keys.add(name, *self._ring.wrap(found, name))
        return found


def _belongs(place: Place) -> tuple[str, str]:
    """Return what a value from before belongs to, and the name of the data key that it gets."""
    match place:
        case ("secret", str(app), str(name)):
            return f"{app}/{name}", of_app(app)
        case ("operation", str(operation), _):
            return operation, CLOUD
        case _:
            return f"replay/{place[1]}", CLOUD
