"""Cron expressions in time zones: when they come, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.model.errors import BadInput
from roost.model.machine_config import machine_config_to_json, read_machine_config
from roost.model.schedule import WORDS, Schedule, read_schedule

IMAGE = {"image": "roost/base:bookworm"}


def times(expression: str, zone: str, start: str, count: int) -> list[str]:
    """The next times in the zone's own clock, with their offset."""
    schedule, at, out = Schedule(expression, zone), datetime.fromisoformat(start).timestamp(), []
    for _ in range(count):
        following = schedule.next_after(at)
        assert following is not None and following > at
        at = following
        out.append(datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%m-%d %H:%M:%S%z"))
    return out


@pytest.mark.parametrize(
    ("expression", "zone", "start", "expected"),
    [
        ("hourly", "UTC", "2026-01-01T00:30:00+00:00", ["01-01 01:00:00+0000", "01-01 02:00:00+0000"]),
        ("daily", "Europe/Berlin", "2026-01-01T12:00:00+00:00", ["01-02 00:00:00+0100", "01-03 00:00:00+0100"]),
        ("weekly", "UTC", "2026-01-01T00:00:00+00:00", ["01-04 00:00:00+0000", "01-11 00:00:00+0000"]),
        ("monthly", "UTC", "2026-01-01T00:00:00+00:00", ["02-01 00:00:00+0000", "03-01 00:00:00+0000"]),
        ("*/10 * * * * *", "UTC", "2026-01-01T00:00:05+00:00", ["01-01 00:00:10+0000", "01-01 00:00:20+0000"]),
        ("0 9 * * mon-fri", "UTC", "2026-01-02T10:00:00+00:00", ["01-05 09:00:00+0000", "01-06 09:00:00+0000"]),
        # 29 March 2026: 02:00 becomes 03:00 in Berlin. A time that is skipped comes right after.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00:00+01:00",
            ["03-28 02:30:00+0100", "03-29 03:00:00+0200", "03-30 02:30:00+0200"],
        ),
        # 25 October 2026: 03:00 becomes 02:00 again. A time that comes twice is taken once.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00+02:00",
            ["10-25 02:30:00+0200", "10-26 02:30:00+0100"],
        ),
        # asked in between the two, it does not go back in time
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00", ["10-26 02:30:00+0100"]),
        # every so often follows elapsed time
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-25T02:00:00+02:00",
            ["10-25 02:30:00+0200", "10-25 02:00:00+0100", "10-25 02:30:00+0100", "10-25 03:00:00+0100"],
        ),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T01:00:00+01:00",
            ["03-29 01:30:00+0100", "03-29 03:00:00+0200", "03-29 03:30:00+0200"],
        ),
        ("hourly", "Asia/Kolkata", "2026-01-01T00:00:00+00:00", ["01-01 06:00:00+0530", "01-01 07:00:00+0530"]),
        ("0 12 * * *", "America/New_York", "2026-11-01T00:00:00-04:00", ["11-01 12:00:00-0500"]),
    ],
)
def test_when_it_comes(expression: str, zone: str, start: str, expected: list[str]) -> None:
    assert times(expression, zone, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"schedule": "sometimes"}, "config.schedule 'sometimes'"),
        ({"schedule": "* * * *"}, "config.schedule"),
        ({"schedule": "60 * * * *"}, "Bad minute"),
        ({"schedule": "0 0 31 2 *"}, "config.schedule"),
        ({"schedule": "0 0 * * *", "schedule_timezone": "Mars/Olympus"}, "config.schedule_timezone 'Mars/Olympus'"),
        ({"schedule": "0 0 * * *", "schedule_timezone": "../../etc/passwd"}, "config.schedule_timezone"),
        ({"schedule": "0 0 * * *", "schedule_timezone": "America"}, "config.schedule_timezone"),
        ({"schedule_timezone": "UTC"}, "config.schedule_timezone needs"),
        ({"schedule": "daily", "services": [{"internal_port": 80}]}, "config.services"),
        ({"schedule": "daily", "auto_destroy": True}, "config.auto_destroy"),
        ({"schedule": "daily", "restart": {"policy": "always"}}, "config.restart.policy"),
        ({"schedule": 5}, "config.schedule must be a string"),
        ({"standbys": ["x"]}, "config.standbys[0]"),
        ({"standbys": ["0123456789abcd"] * 2}, "config.standbys"),
        ({"standbys": ["0123456789abcd"], "schedule": "daily"}, "config.schedule"),
    ],
)
def test_what_is_refused_names_the_key(keys: dict[str, object], named: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_machine_config({**IMAGE, **keys})
    assert named in refused.value.message


@pytest.mark.parametrize("schedule", [*WORDS, "*/5 * * * *", "1 2 3 4 *", "0 0 L * *", "*/2 * * * * *"])
def test_reads_back_what_it_writes(schedule: str) -> None:
    config = read_machine_config({**IMAGE, "schedule": schedule, "schedule_timezone": "Asia/Tokyo"})
    assert config.schedule == Schedule(schedule, "Asia/Tokyo")
    assert read_machine_config(machine_config_to_json(config)) == config


@given(st.lists(st.text("0123456789*/,-#LWmonjaSU ", max_size=8), min_size=4, max_size=7), st.text(max_size=20))
def test_any_text_is_a_schedule_that_comes_or_is_refused(fields: list[str], zone: str) -> None:
    try:
        schedule = read_schedule(" ".join(fields), zone, "config")
    except BadInput:
        return
    if schedule is not None:
        now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
        following = schedule.next_after(now)
        assert following is None or following > now
