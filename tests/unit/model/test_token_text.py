"""Tokens are weakened without the cloud, and the cloud sees by what."""

from __future__ import annotations

import pytest

from roost.model.errors import BadInput
from roost.model.macaroon import BadMacaroon, mint, verify
from roost.model.token_text import PREFIX, conditions_of, read, spell, weakened

KEY = b"k" * 32


def test_a_weaker_copy_has_one_more_condition_and_still_verifies() -> None:
    token = spell(mint(KEY, b"0123456789ab", b"roost"))
    copy = weakened(weakened(token, ["app = shop"]), ["action = read", "time < 2000000000"])
    assert copy.startswith(PREFIX)
    assert conditions_of(read(copy)) == ["app = shop", "action = read", "time < 2000000000"]
    seen: list[bytes] = []
    verify(read(copy), KEY, lambda condition: not seen.append(condition))
    assert len(seen) == 3
    with pytest.raises(BadMacaroon):
        verify(read(copy), b"another", lambda _: True)


@pytest.mark.parametrize("conditions", [[], ["colour = red"], ["app = "], ["time < tomorrow"], ["app = a"] * 101])
def test_what_the_cloud_would_not_know_is_refused_here(conditions: list[str]) -> None:
    with pytest.raises(BadInput):
        weakened(spell(mint(KEY, b"id")), conditions)


@pytest.mark.parametrize("token", ["", "roost_0123456789ab_secret", PREFIX, PREFIX + "AAAA", PREFIX + "é"])
def test_other_tokens_are_refused_without_repeating_them(token: str) -> None:
    with pytest.raises(BadInput) as caught:
        weakened(token, ["app = a"])
    assert "secret" not in caught.value.message


def test_the_sdk_has_it_as_documented() -> None:
    from roost.sdk import attenuate

    assert conditions_of(read(attenuate(spell(mint(KEY, b"id")), ["app = shop", "action = read"]))) == [
        "app = shop",
        "action = read",
    ]
