"""Values at rest: sealed by envelope, opened whatever a kill left, also those of earlier releases."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import text

from roost.control.key_ring import KeyRing
from roost.control.sealing import Vault, of_app
from roost.model.errors import HostFailure
from roost.model.operation import Operation, OperationState
from roost.model.replay import Kept
from roost.store.data_keys import PREFIX
from roost.store.store import Store

REPLAY = b"\1" * 32


class Killed(BaseException):
    pass


class Kill:
    """Raises at the n-th step, as a kill would end roostd there."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.steps = at, list[str]()

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if len(self.steps) == self.at:
            raise Killed


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/state.db")
    for name in ("shop", "blog"):
        opened.apps.create(name=name, app_id=name, org="personal", network="n", now=1.0)
    yield opened
    opened.close()


def vault(store: Store, tmp_path: Path) -> Vault:
    return Vault(KeyRing(tmp_path / "keys"), store.data_keys)


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "keys").iterdir())


def older_values(store: Store, tmp_path: Path) -> bytes:
    """Write what the release before data keys wrote; returns its key."""
    key = os.urandom(32)
    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "keys" / "secrets.key").write_bytes(key)

    def sealed(value: bytes, belongs_to: str) -> bytes:
        nonce = os.urandom(12)
        return nonce + AESGCM(key).encrypt(nonce, value, belongs_to.encode())

    digests = hashlib.sha256(b"roost digest" + key).digest()
    digest = hmac.new(digests, b"old value", hashlib.sha256).hexdigest()[:16]
    store.secrets.set("shop", {"OLD": (sealed(b"old value", "shop/OLD"), digest)}, 1.0)
    operation = Operation(
        "01ARZ3NDEKTSV4RRFFQ69G5FAV", "deploy", "shop", OperationState.RUNNING, "", (), {}, {}, "", "", 1.0, 1.0
    )
    store.operations.add(operation, sealed(b"{}", operation.id))
    store.replays.keep(REPLAY, Kept(b"r", 200, "", sealed(b"answer", f"replay/{REPLAY.hex()}"), 1.0))
    return key


def check_older_values(store: Store, found: Vault) -> None:
    (secret,) = store.secrets.list("shop")
    assert found.open(secret.sealed, "shop/OLD", key=of_app("shop")) == b"old value"
    assert found.digest(b"old value") == secret.digest
    assert (
        found.open(store.operations.sealed("01ARZ3NDEKTSV4RRFFQ69G5FAV") or b"", "01ARZ3NDEKTSV4RRFFQ69G5FAV") == b"{}"
    )
    kept = store.replays.find(REPLAY, 0.0)
    assert kept is not None
    assert found.open(kept.body, f"replay/{REPLAY.hex()}") == b"answer"


def test_a_value_opens_where_it_belongs_and_nowhere_else(store: Store, tmp_path: Path) -> None:
    made = vault(store, tmp_path)
    sealed = made.seal(b"value", "shop/A", key=of_app("shop"))
    assert b"value" not in sealed
    assert vault(store, tmp_path).open(sealed, "shop/A", key=of_app("shop")) == b"value"
    assert made.seal(b"value", "shop/A", key=of_app("shop")) != sealed
    made.seal(b"other", "blog/A", key=of_app("blog"))
    for belongs_to, key in (("shop/B", of_app("shop")), ("shop/A", of_app("blog")), ("shop/A", "cloud")):
        with pytest.raises(HostFailure, match="can't be decrypted"):
            made.open(sealed, belongs_to, key=key)
    for damaged in (sealed[:-1], PREFIX, b"", sealed[:9] + bytes([sealed[9] ^ 1]) + sealed[10:]):
        with pytest.raises(HostFailure):
            made.open(damaged, "shop/A", key=of_app("shop"))


def test_keys_are_private_and_apart_from_the_database(store: Store, tmp_path: Path) -> None:
    made = vault(store, tmp_path)
    made.seal(b"value", "shop/A", key=of_app("shop"))
    key = tmp_path / "keys" / "secrets.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    database = b"".join(path.read_bytes() for path in tmp_path.glob("state.db*"))
    assert key.read_bytes() not in database
    for data_key in made._opened.values():
        assert data_key not in database


def test_without_the_key_nothing_opens(store: Store, tmp_path: Path) -> None:
    sealed = vault(store, tmp_path).seal(b"value", "shop/A", key=of_app("shop"))
    (tmp_path / "keys" / "secrets.key").unlink()
    with pytest.raises(HostFailure, match="app/shop") as failure:
        vault(store, tmp_path).open(sealed, "shop/A", key=of_app("shop"))
    assert "secrets.key" in failure.value.hint
    (tmp_path / "keys" / "secrets.key").write_bytes(b"short")
    with pytest.raises(HostFailure, match="damaged"):
        vault(store, tmp_path)


def test_an_app_takes_its_key_along(store: Store, tmp_path: Path) -> None:
    made = vault(store, tmp_path)
    sealed = made.seal(b"value", "shop/A", key=of_app("shop"))
    store.apps.remove("shop", now=9.0)
    with pytest.raises(HostFailure):
        made.open(sealed, "shop/A", key=of_app("shop"))
    store.apps.create(name="shop", app_id="2", org="personal", network="n", now=2.0)
    again = made.seal(b"new", "shop/A", key=of_app("shop"))
    assert vault(store, tmp_path).open(again, "shop/A", key=of_app("shop")) == b"new"
    with pytest.raises(HostFailure):
        made.open(sealed, "shop/A", key=of_app("shop"))


def test_older_values_open_until_and_after_a_rotation(store: Store, tmp_path: Path) -> None:
    older_values(store, tmp_path)
    made = vault(store, tmp_path)
    check_older_values(store, made)
    done = made.rotate(Kill())
    assert (done.key, done.values) == (2, 3)
    assert files(tmp_path) == ["secrets.2.key"]
    check_older_values(store, made)
    check_older_values(store, vault(store, tmp_path))


def test_a_rotation_wraps_every_key_anew(store: Store, tmp_path: Path) -> None:
    made = vault(store, tmp_path)
    sealed = {name: made.seal(b"v", name, key=of_app(name)) for name in ("shop", "blog")}
    before = rows(store)
    done = made.rotate(Kill())
    assert (done.key, done.data_keys, done.values) == (2, 3, 0)  # both apps' and that of digests
    assert not set(before) & set(rows(store))
    for found in (made, vault(store, tmp_path)):
        assert [found.open(value, name, key=of_app(name)) for name, value in sealed.items()] == [b"v", b"v"]
    assert made.rotate(Kill()).key == 3
    assert files(tmp_path) == ["secrets.3.key"]
    assert vault(store, tmp_path).open(sealed["shop"], "shop", key=of_app("shop")) == b"v"


@pytest.mark.parametrize("at", range(1, 10))
def test_killed_anywhere_everything_opens_and_it_is_finished(store: Store, tmp_path: Path, at: int) -> None:
    older_values(store, tmp_path)
    made = vault(store, tmp_path)
    sealed = {name: made.seal(b"v", name, key=of_app(name)) for name in ("shop", "blog")}
    kill = Kill(at)
    try:
        made.rotate(kill)
    except Killed:
        pass
    else:
        assert len(kill.steps) < at, kill.steps
    after = vault(store, tmp_path)  # the next roostd, before it has finished the rotation
    for found in (after, vault(store, tmp_path)):
        check_older_values(store, found)
        assert [found.open(value, name, key=of_app(name)) for name, value in sealed.items()] == [b"v", b"v"]
        found.resume(Kill())
        assert files(tmp_path) == ["secrets.2.key"]
        found.resume(Kill())


def test_every_step_of_a_rotation_is_killed_at(store: Store, tmp_path: Path) -> None:
    older_values(store, tmp_path)
    made = vault(store, tmp_path)
    for name in ("shop", "blog"):
        made.seal(b"v", name, key=of_app(name))
    steps = Kill()
    made.rotate(steps)
    assert set(steps.steps) == {"keys.rotate.made", "keys.rotate.wrapped", "keys.rotate.sealed", "keys.rotate.dropped"}
    assert len(steps.steps) < 10


def rows(store: Store) -> list[bytes]:
    with store.database.read() as connection:
        return [bytes(row[0]) for row in connection.execute(text("SELECT wrapped FROM data_keys"))]
