"""The macaroon format against libmacaroons' published vectors, and what nobody but the key's owner can do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.model.macaroon import (
    BadMacaroon,
    Macaroon,
    attenuated,
    bound,
    decode,
    encode,
    mint,
    verify,
    with_third_party,
)

KEY = b"this is the key"
ONE = (
    "AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAhRhY2NvdW50ID0gMzczNTkyODU1OQAABiD1SAf23G7fiL8PcwazgiVio2JT"
    "Pb9zObphdl2kvSWdhw"
)
TWO = (
    "AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAhRhY2NvdW50ID0gMzczNTkyODU1OQACDHVzZXIgPSBhbGljZQAABiBL6WfNHqDGsmuvakqU7psF"
    "sViG2guoXoxCqTyNDhJe_A"
)


def exactly(*conditions: str) -> Callable[[bytes], bool]:
    return lambda asked: asked.decode() in conditions


def anything(_condition: bytes) -> bool:
    return True


@pytest.mark.parametrize("text", [ONE, TWO])
def test_libmacaroons_v2_vectors_are_read_and_written_alike(text: str) -> None:
    assert encode(decode(text)) == text
    assert decode(text).location == b"http://example.org/"
    assert decode(text).identifier == b"keyid"


@pytest.mark.parametrize(
    ("text", "conditions", "key", "counts"),
    [  # libmacaroons, test/unit/caveat_v2_*.vtest
        (ONE, ["account = 3735928559"], KEY, True),
        (ONE, ["account = 0000000000"], KEY, False),
        (ONE, [], KEY, False),
        (TWO, ["account = 3735928559", "user = alice"], KEY, True),
        (TWO, ["account = 3735928559"], KEY, False),
        (ONE, ["account = 3735928559"], b"this is not the key", False),
    ],
)
def test_libmacaroons_v2_vectors_verify(text: str, conditions: list[str], key: bytes, counts: bool) -> None:
    if counts:
        verify(decode(text), key, exactly(*conditions))
    else:
        with pytest.raises(BadMacaroon):
            verify(decode(text), key, exactly(*conditions))


def test_the_signatures_of_libmacaroons_readme() -> None:
    key = b"this is our super secret key; only we should know it"
    made = mint(key, b"we used our secret key", b"http://mybank/")
    assert made.signature.hex() == "e3d9e02908526c4c0039ae15114115d97fdd68bf2ba379b342aaf0f617d0552f"
    weaker = attenuated(made, b"test = caveat")
    assert weaker.signature.hex() == "197bac7a044af33332865b9266e26d493bdd668a660e44d88ce1a998c23dbd67"


def test_a_caveat_can_be_added_but_not_removed_or_changed() -> None:
    weaker = attenuated(mint(KEY, b"id"), b"app = a")
    verify(weaker, KEY, anything)
    for forged in (
        Macaroon(b"id", weaker.signature),
        Macaroon(b"id", weaker.signature, b"", attenuated(mint(KEY, b"id"), b"app = b").caveats),
        Macaroon(b"other", weaker.signature, b"", weaker.caveats),
    ):
        with pytest.raises(BadMacaroon, match="signature"):
            verify(forged, KEY, anything)


def test_a_third_party_must_confirm() -> None:
    shared = b"a key that only the third party and the one who weakened it know"
    root = with_third_party(mint(KEY, b"id"), shared, b"is it monday?", b"https://calendar.example", bytes(24))
    assert decode(encode(root)) == root
    discharge = mint(shared, b"is it monday?")
    verify(root, KEY, anything, [bound(discharge, root)])
    wrong = mint(b"another key", b"is it monday?")
    for given_along in ([], [discharge], [bound(wrong, root)], [bound(mint(shared, b"is it tuesday?"), root)]):
        with pytest.raises(BadMacaroon):
            verify(root, KEY, anything, given_along)
    with pytest.raises(BadMacaroon):  # the discharge's own conditions count as well
        verify(root, KEY, exactly(), [bound(attenuated(discharge, b"app = a"), root)])


def test_a_discharge_that_asks_for_itself_ends() -> None:
    shared = b"k"
    root = with_third_party(mint(KEY, b"id"), shared, b"x", b"", bytes(24))
    endless = with_third_party(mint(shared, b"x"), shared, b"x", b"", bytes(24))
    with pytest.raises(BadMacaroon, match="missing"):
        verify(root, KEY, anything, [bound(endless, root)])


@pytest.mark.parametrize(
    "text", ["", "AA", "Ag", "AgI", "é", "!!!!", "A" * 100_000, ONE[:-4], ONE + "AAAA", "MDAxY2xv"]
)
def test_what_is_no_macaroon_is_refused(text: str) -> None:
    with pytest.raises(BadMacaroon):
        decode(text)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(data: bytes) -> None:
    import base64

    try:
        found = decode(base64.urlsafe_b64encode(b"\x02" + data).decode())
    except BadMacaroon:
        return
    with pytest.raises(BadMacaroon):
        verify(found, KEY, anything)


@given(st.binary(max_size=40), st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_what_is_written_is_read_again(identifier: bytes, conditions: list[bytes]) -> None:
    made = mint(KEY, identifier, b"roost")
    for condition in conditions:
        made = attenuated(made, condition)
    assert decode(encode(made)) == made
    verify(decode(encode(made)), KEY, anything)
