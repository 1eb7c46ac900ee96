"""When certificates are renewed and tried again, and how names are proven."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from roost.model.certificate import Attempt, Certificate, Issued, KeyKind, Uploaded
from roost.plan.certificates import to_serve, try_now
from roost.plan.issuing import (
    ALPN,
    DNS,
    HTTP,
    LONGEST_PAUSE,
    after_failure,
    challenge_for,
    due_at,
    renewal,
)

DAY = 86400.0
NONE = Certificate("shop", "shop.example.com", True, None, None, 0.0, 0.0, 0.0)
ISSUED = Issued("pem", KeyKind.ECDSA, "CA", 0.0, 90 * DAY, 0.0, 60 * DAY, 1 * DAY)


def test_what_was_never_tried_is_due_at_once() -> None:
    assert due_at(NONE) == 0.0


@given(st.text(min_size=1), st.floats(3600, 400 * DAY))
def test_a_renewal_is_at_about_two_thirds_of_the_life(name: str, life: float) -> None:
    at = renewal(name, 1000.0, 1000.0 + life)
    assert 1000 + life * 0.61 <= at <= 1000 + life * 0.67
    assert at == renewal(name, 1000.0, 1000.0 + life)


def test_names_are_not_all_renewed_at_once() -> None:
    assert len({renewal(f"n{number}", 0.0, 90 * DAY) for number in range(50)}) == 50


def test_an_issued_certificate_is_due_when_it_is_to_be_renewed_and_an_open_order_at_once() -> None:
    assert due_at(replace(NONE, issued=ISSUED)) == 60 * DAY
    assert due_at(replace(NONE, issued=ISSUED, attempt=Attempt(order="https://ca/order/1"))) == 0.0


@given(st.integers(1, 40))
def test_pauses_grow_to_a_bound(failures: int) -> None:
    attempt = Attempt()
    pauses = []
    for _ in range(failures):
        attempt = after_failure("a.org", replace(attempt, order="x"), 1000.0, error="dns", message="no")
        pauses.append(attempt.next_at - 1000.0)
    assert attempt.failures == failures and attempt.order == ""
    assert 120.0 <= pauses[0] <= 144.0 and max(pauses) <= LONGEST_PAUSE * 1.2
    assert all(later > earlier for earlier, later in pairwise(pauses[:6]))


def test_the_next_way_is_tried_at_once_where_the_first_found_no_proof() -> None:
    attempt = after_failure("a.org", Attempt(order="x"), 1000.0, error="tls", message="no", ways=2)
    assert (attempt.next_at, attempt.failures, attempt.order) == (1000.0, 1, "")
    assert after_failure("a.org", attempt, 1000.0, error="unauthorized", message="no", ways=2).next_at > 1200.0
    for error in ("dns", "unreachable", "rateLimited", "internal"):
        assert after_failure("a.org", Attempt(), 1000.0, error=error, message="no", ways=3).next_at > 1100.0


def test_the_authoritys_limit_holds_whatever_a_user_asks() -> None:
    limited = after_failure("a.org", Attempt(), 1000.0, error="rateLimited", message="slow", retry_after=7200.0)
    assert limited.rate_limited_until == 8200.0
    assert due_at(replace(NONE, attempt=try_now(limited))) == 8200.0
    failed = after_failure("a.org", Attempt(), 1000.0, error="dns", message="no")
    assert due_at(replace(NONE, attempt=try_now(failed))) == 0.0


def test_another_way_is_tried_after_a_failure_and_a_wildcard_has_one() -> None:
    ways = (ALPN, HTTP, DNS)
    found = [challenge_for(replace(NONE, attempt=Attempt(failures=number)), ways) for number in range(4)]
    assert found == [ALPN, HTTP, DNS, ALPN]
    wildcard = replace(NONE, hostname="*.example.com")
    assert challenge_for(wildcard, ways) == DNS
    assert challenge_for(wildcard, (ALPN, HTTP)) == ""


def test_an_own_certificate_is_shown_before_an_issued_one_unless_it_has_expired() -> None:
    own = Uploaded("own", KeyKind.RSA, "me", 50 * DAY, 0.0)
    both = replace(NONE, custom=own, issued=ISSUED)
    wildcard = replace(NONE, hostname="*.example.com", issued=ISSUED)
    assert to_serve([both], 0.0) == (both, own)
    assert to_serve([both], 60 * DAY) == (both, ISSUED)
    assert to_serve([replace(NONE, custom=own), wildcard], 60 * DAY) == (wildcard, ISSUED)
    assert to_serve([replace(NONE, custom=own)], 60 * DAY) == (replace(NONE, custom=own), own)
    assert to_serve([NONE], 0.0) is None
