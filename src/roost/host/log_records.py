"""Records of a CRI log and the lines that they make up. Pure: bytes in, lines out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from roost.host.contract import LogLine

MAX_LINE = 1 << 16  # bytes; a longer line is given in pieces of this size
_STREAMS = {b"stdout": "stdout", b"stderr": "stderr"}


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `end` is the offset just behind its newline; `whole` means the line ends with it."""

    at: float
    stream: str
    whole: bool
    text: bytes
    end: int


def parse_record(raw: bytes, end: int) -> Record | None:
    """Read one record without or with its newline; None when it is malformed, as a torn one is."""
    parts = raw.rstrip(b"\n").split(b" ", 3)
    if len(parts) != 4 or parts[1] not in _STREAMS or parts[2] not in (b"F", b"P"):
        return None
    try:
        at = datetime.fromisoformat(parts[0].decode("ascii")).timestamp()
    except (ValueError, OverflowError):
        return None
    return Record(at, _STREAMS[parts[1]], parts[2] == b"F", parts[3], end)


class Joiner:
    """Joins the records of each stream to lines. Holds at most one unfinished line per stream, bounded."""

    def __init__(self, machine_id: str) -> None:
        self._machine_id = machine_id
        self._text: dict[str, bytearray] = {}
        self._latest: dict[str, Record] = {}  # the record that an unfinished line ended with so far
        self._at: dict[str, float] = {}
        self._end = 0

    def add(self, record: Record) -> list[LogLine]:
        """Take the next record and return the lines that are complete with it: none, one, or pieces of a long one."""
        lines = []
        text = self._text.setdefault(record.stream, bytearray())
        at = self._at.setdefault(record.stream, record.at)
        if text and len(text) + len(record.text) > MAX_LINE:
            lines.append(self._line(at, record.stream, bytes(text), self._end))
            text.clear()
        text += record.text
        self._end = record.end
        self._latest[record.stream] = record
        while len(text) > MAX_LINE:
            lines.append(self._line(at, record.stream, bytes(text[:MAX_LINE]), record.end))
            del text[:MAX_LINE]
        if record.whole:
            lines.append(self._line(at, record.stream, bytes(text), record.end))
            self._drop(record.stream)
        return lines

    def unfinished(self, before: float) -> list[LogLine]:
        """Return the unfinished lines that got nothing since `before`, as lines that end with the log."""
        settled = [r for r in self._latest.values() if r.at <= before]
        settled.sort(key=lambda r: r.end)
        return [self._line(self._at[r.stream], r.stream, bytes(self._text[r.stream]), self._end) for r in settled]

    def forget_ending_at(self, offset: int) -> None:
        """Drop an unfinished line whose latest record ends at `offset`."""
        for stream in [s for s, r in self._latest.items() if r.end == offset]:
            self._drop(stream)

    def _drop(self, stream: str) -> None:
        del self._text[stream], self._at[stream], self._latest[stream]

    def _line(self, at: float, stream: str, text: bytes, end: int) -> LogLine:
        shown = text.removesuffix(b"\r").decode(errors="replace")
        return LogLine(machine_id=self._machine_id, at=at, stream=stream, text=shown, offset=end)
