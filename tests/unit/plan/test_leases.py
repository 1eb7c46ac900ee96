from __future__ import annotations

import pytest

from roost.model.errors import NotFound
from roost.model.machine_version import Lease
from roost.plan.leases import Leased, acquire, permit, release

HELD = Lease("m", "secret-nonce", "ada", "a deploy", "v1", 1000.0)
WANTED = Lease("m", "fresh", "bob", "", "v2", 2000.0)


def test_a_free_machine_can_be_taken() -> None:
    assert acquire(None, WANTED, "") is WANTED
    with pytest.raises(NotFound, match="lease not found"):
        acquire(None, WANTED, "of-a-lease-that-has-ended")


def test_the_nonce_makes_it_last_longer_and_nothing_else_changes() -> None:
    kept = acquire(HELD, WANTED, "secret-nonce")
    assert (kept.nonce, kept.version, kept.owner, kept.description) == ("secret-nonce", "v1", "ada", "a deploy")
    assert kept.expires_at == 2000.0


@pytest.mark.parametrize("nonce", ["", "wrong", "secret-nonc", "secret-nonce-", "\udcff"])
def test_others_are_told_who_and_how_long_and_never_the_nonce(nonce: str) -> None:
    for refused in (lambda: acquire(HELD, WANTED, nonce), lambda: release(HELD, nonce), lambda: permit(HELD, nonce)):
        with pytest.raises(Leased) as error:
            refused()
        told = str(error.value.to_json())
        assert "ada" in told
        assert "1970-01-01T00:16:40Z" in told
        assert HELD.nonce not in told
    assert error.value.status == 409


def test_without_a_lease_everybody_may() -> None:
    permit(None, "")
    permit(HELD, HELD.nonce)
    release(HELD, HELD.nonce)
    with pytest.raises(NotFound):
        release(None, "x")
