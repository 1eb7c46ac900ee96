"""When a scheduled machine runs: cron expressions in a time zone, and the four words of the Fly Machines API.

The words are the expressions that cron knows as @hourly, @daily, @weekly and @monthly. A wall-clock time that a
change to summer time skips comes right after the change, one that comes twice is taken once; "every so often"
expressions (a `*` in minutes or hours, or six fields) follow elapsed time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from roost.model.errors import BadInput

WORDS = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 0", "monthly": "0 0 1 * *"}
MAX_LENGTH = 200  # of an expression
_EXPRESSION = re.compile(r"[0-9A-Za-z*/,#-]+(?: [0-9A-Za-z*/,#-]+){4,5}")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,3}")
_PROBE = 1_700_000_000.0  # any time will do to see whether an expression ever comes


@dataclass(frozen=True, slots=True)
class Schedule:
    """A word of WORDS or a cron expression of five fields (six: seconds first), and the zone it is meant in."""

    expression: str
    timezone: str = "UTC"

    def next_after(self, at: float) -> float | None:
        """Return the first time later than `at` (both Unix times) when it comes, or None for never."""
        expression = WORDS.get(self.expression, self.expression)
        try:
            for moment in CronSim(expression, datetime.fromtimestamp(at, _zone(self.timezone))):
                if moment.timestamp() > at:
                    return moment.timestamp()
        except (OverflowError, RuntimeError):  # beyond the calendar's end
            return None
        return None


def read_schedule(expression: str, timezone: str, where: str) -> Schedule | None:
    """Read the keys `schedule` and `schedule_timezone` of the object `where`; None for "".

    Raises BadInput that names the key.
    """
    if not expression:
        if timezone:
            raise BadInput(f"{where}.schedule_timezone needs {where}.schedule", hint="say when the machine runs")
        return None
    schedule = Schedule(" ".join(expression.split()), timezone or "UTC")
    if problem := check_zone(schedule.timezone):
        raise BadInput(f"{where}.schedule_timezone {problem}", hint="use a name like Europe/Berlin, or UTC")
    if problem := check_expression(schedule.expression):
        raise BadInput(
            f"{where}.schedule {problem}",
            hint='use hourly, daily, weekly, monthly, or a cron expression like "30 2 * * mon-fri"',
        )
    return schedule


def check_zone(name: str) -> str:
    """Say what is wrong with the name of a time zone; "" for a known one."""
    if len(name) > 64 or not _ZONE.fullmatch(name):
        return "must be the name of a time zone"
    try:
        _zone(name)
    except (LookupError, ValueError, OSError):
        return f"{name!r} is not a known time zone"
    return ""


@lru_cache(maxsize=1024)
def check_expression(expression: str) -> str:
    """Say what is wrong with an expression; "" for one that comes again and again."""
    if expression in WORDS:
        return ""
    if len(expression) > MAX_LENGTH or not _EXPRESSION.fullmatch(expression):
        return f"{expression[:40]!r} is neither hourly, daily, weekly, monthly nor a cron expression of five fields"
    try:
        CronSim(expression, datetime.fromtimestamp(_PROBE, UTC))
    except (CronSimError, AssertionError) as error:
        return f"{expression[:40]!r} is not a cron expression: {error}"
    if Schedule(expression).next_after(_PROBE) is None:
        return f"{expression[:40]!r} never comes"
    return ""


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
