"""How things look: tables, times, sizes, JSON, errors. Pure, but for the functions that print.

What comes from a cloud may have been written by an app, so control characters never reach the terminal
as they are (`printable`); `--json` escapes them itself.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from roost.model.errors import RoostError

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def printable(text: str, *, colours: bool = False) -> str:
    """Return one line of `text` without control characters and escape sequences; `colours` keeps colour changes."""
    if not colours:
        return _CONTROL.sub("", _ESCAPE.sub("", text))
    parts = _COLOUR.split(text)
    marks = [*_COLOUR.findall(text), ""]
    kept = "".join(printable(part) + mark for part, mark in zip(parts, marks, strict=True))
    return kept + ("\x1b[0m" if len(marks) > 1 else "")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return aligned columns under an upper-case header; an empty cell shows as `-`."""
    cells = [[name.upper() for name in header]]
    cells += [[printable(str(cell)) if cell not in (None, "") else "-" for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def fields(pairs: Iterable[tuple[str, object]]) -> str:
    """Return `name  value` lines, aligned; pairs without a value are left out."""
    kept = [(name, printable(str(value))) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in kept), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in kept)


def ago(stamp: str, now: datetime) -> str:
    """Return how long ago an RFC 3339 time was: `12s ago`, `3m ago`, `5h ago`, `4d ago`; "" for no time."""
    try:
        seconds = int((now - datetime.fromisoformat(stamp)).total_seconds())
    except (ValueError, TypeError):
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit} ago"
    return f"{max(seconds, 0)}s ago"


def since(stamp: object) -> str:
    """Return `ago` for the present moment."""
    return ago(str(stamp or ""), datetime.now(UTC))


def size(count: object) -> str:
    """Return a number of bytes as people say it: `512 B`, `3.4 MB` (decimal units)."""
    if not isinstance(count, int | float):
        return ""
    if count < 1000:
        return f"{count:.0f} B"
    number = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        number /= 1000
        if number < 1000 or unit == "TB":
            break
    return f"{number:.1f} {unit}"


def say(text: str = "") -> None:
    """Print a result."""
    print(text, flush=True)


def note(text: str) -> None:
    """Print what is no result (progress, warnings) to standard error."""
    print(text, file=sys.stderr, flush=True)


def say_json(value: object) -> None:
    """Print a value as JSON, for programs."""
    say(json.dumps(value, indent=2))


def show_error(error: RoostError) -> None:
    """Print an error and the next step to standard error: the one place that does."""
    lines = error.message.splitlines() or [type(error).__name__]
    note("\n".join([f"error: {printable(lines[0])}", *(f"  {printable(line)}" for line in lines[1:])]))
    if error.hint:
        note(f"hint: {printable(error.hint)}")
