"""Why an app could not be woken is known for a while, of the latest apps."""

from __future__ import annotations

from roost.edge.refusals import APPS, KEPT, Refusals


def test_the_latest_reason_of_an_app_counts_for_a_while() -> None:
    known = Refusals()
    known.note("shop", "app_exited", 100.0)
    known.note("shop", "wake_timeout", 101.0)
    assert known.of("shop", 102.0) == "wake_timeout"
    assert known.of("shop", 101.0 + KEPT + 1) == ""
    assert known.of("other", 101.0) == ""


def test_of_many_apps_the_latest_are_known() -> None:
    known = Refusals()
    for number in range(APPS + 1):
        known.note(f"app{number}", "stopped", 1.0)
    assert (known.of("app0", 1.0), known.of(f"app{APPS}", 1.0), len(known._latest)) == ("", "stopped", APPS)
