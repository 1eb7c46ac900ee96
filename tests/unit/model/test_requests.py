"""Requests as they are kept, and their percentiles."""

from __future__ import annotations

import random
import sys
from dataclasses import replace

import pytest
from tests.contract.api.fake_requests import NOW, request

from roost.model.request import RequestFilter, redacted, request_of_line
from roost.model.request_stats import AppStats, StatsBook, bucket_of, value_of


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/", "/"),
        ("/find?q=secret&page=2", "/find?q=*&page=*"),
        ("/?sk_live_123", "/?*"),
        ("/?a=1?b=2", "/?a=*"),
        ("/?%73=1&a[b]=2", "/?*&a[b]=*"),
        ("/x?", "/x?*"),
        ("/x?" + "&".join(f"a{i}=1" for i in range(20)), "/x?" + "&".join(f"a{i}=*" for i in range(16)) + "&…"),
        ("/" + "a" * 2000, "/" + "a" * 1023 + "…"),
    ],
)
def test_no_value_of_a_query_is_kept(path: str, kept: str) -> None:
    assert redacted(path) == kept


def test_a_line_comes_back_as_it_was() -> None:
    made = request(3, path='/a"\n\x1b[31mé', error="app_silent")
    line = made.to_line()
    assert "\n" not in line
    assert request_of_line(line) == made
    for bad in ("", "{}", "[]", "null", line[:-5], "[" * 5000):
        assert request_of_line(bad) is None
    assert made.fault == "app"


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (RequestFilter(), True),
        (RequestFilter(status="5xx"), True),
        (RequestFilter(status="502"), True),
        (RequestFilter(status="503"), False),
        (RequestFilter(status="4xx"), False),
        (RequestFilter(path="/a"), True),
        (RequestFilter(path="/b"), False),
        (RequestFilter(slow=11.0), True),
        (RequestFilter(slow=11.1), False),
        (RequestFilter(since=NOW + 1), False),
        (RequestFilter(machine="00000000000001"), True),
        (RequestFilter(machine="00000000000002"), False),
        (RequestFilter(errors=True), True),
    ],
)
def test_filters(wanted: RequestFilter, fits: bool) -> None:
    made = request(status=502, path="/api", error="app_silent")
    assert wanted.fits(made) is fits
    assert not RequestFilter(errors=True).fits(replace(made, error=""))


@pytest.mark.parametrize("shape", ["uniform", "heavy tail", "constant"])
def test_percentiles_are_right_to_five_percent(shape: str) -> None:
    dice = random.Random(7)
    values = {
        "uniform": [dice.uniform(0.5, 2000) for _ in range(5000)],
        "heavy tail": [dice.paretovariate(1.1) for _ in range(5000)],
        "constant": [12.5] * 1000,
    }[shape]
    stats = AppStats()
    for value in values:
        stats.add(request(total=value), NOW)
    values.sort()
    told = stats.windows(NOW + 1)[0].latency["total"]
    for quantile in (50, 90, 99):
        true = values[-(-len(values) * quantile // 100) - 1]
        assert told[quantile] == pytest.approx(true, rel=0.051)


def test_every_duration_has_a_bucket() -> None:
    for value in (0.0, -1.0, 0.001, 0.02, 1.0, 1e3, 86_400_000.0):
        assert 0 <= bucket_of(value) <= 255
        if value > 0.01:
            assert value_of(bucket_of(value)) == pytest.approx(value, rel=0.051)
    assert bucket_of(1e300) == 255


def test_windows_forget_what_is_older_and_lose_nothing_before() -> None:
    stats = AppStats()
    for second in range(7200):
        stats.add(
            request(status=500 if second % 10 == 0 else 200, error="app_answered_5xx" if second % 10 == 0 else ""),
            NOW + second,
        )
    minute, five, hour = stats.windows(NOW + 7200)
    assert 60 <= minute.requests <= 80
    assert 300 <= five.requests <= 380
    assert 3600 <= hour.requests <= 4000
    for window in (minute, five, hour):
        assert window.rate == pytest.approx(1.0, abs=0.02)
    assert hour.statuses["5xx"] == hour.errors["app_answered_5xx"] == hour.requests / 10
    assert stats.errors["app_answered_5xx"] == 720
    assert sum(len(level) for level in stats._levels) <= 26
    assert all(window.requests == 0 for window in stats.windows(NOW + 20_000))
    assert stats.empty
    stats.add(request(), NOW)  # the clock went back
    assert stats.windows(NOW)[0].requests == 1


def test_memory_is_bounded() -> None:
    dice = random.Random(7)
    stats = AppStats()
    for second in range(0, 3700, 1):
        for _ in range(3):
            total = dice.paretovariate(1.1)
            stats.add(request(total=total, app=total * 0.9, queue=dice.random(), connect=dice.random()), NOW + second)
    held = sum(sys.getsizeof(slot.buckets) + 32 * len(slot.buckets) for level in stats._levels for slot in level)
    assert held < 300_000
    book = StatsBook(max_apps=10)
    for number in range(100):
        book.add(f"app-{number}", request(), NOW)
    assert [app for app, _ in book.all()] == [f"app-{n}" for n in range(90, 100)]
