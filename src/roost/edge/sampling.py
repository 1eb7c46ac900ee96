"""Which lines of a busy moment are read: of many requests that went the same way a few stand for all. Pure.

Reading, counting and keeping each request of an app that is called thousands of times a second would cost as much as
serving it, and its log would cover seconds. Invariant: every line counts exactly once, in the number of requests that
a line stands for; the lines are taken at even distances, so that percentiles stay right; what is slow or rare is
read by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from roost.edge.accesslog import is_single, kind_of

KEPT = 50  # lines of one kind that are read of one lot


class Lot:
    """The lines that were written since the last look, by kind."""

    def __init__(self) -> None:
        self.size = 0
        self._kinds: dict[bytes, list[tuple[int, bytes]]] = {}
        self._singles: set[bytes] = set()  # kinds whose lines are read by themselves
        self._single: list[tuple[int, bytes, int]] = []

    def add(self, data: bytes) -> None:
        """Take whole lines."""
        kinds, number = self._kinds, self.size
        for line in data.split(b"\n"):
            if not line:
                continue
            number += 1
            kind = kind_of(line)
            if kind is not None and (alike := kinds.get(kind)) is not None:
                alike.append((number, line))
            elif kind is None or kind in self._singles:
                self._single.append((number, line, 1))
            elif is_single(kind):
                self._singles.add(kind)
                self._single.append((number, line, 1))
            else:
                kinds[kind] = [(number, line)]
        self.size = number

    def chosen(self) -> Iterator[tuple[bytes, int]]:
        """Yield the lines to read, in their order, each with the number of lines that it stands for."""
        found = list(self._single)
        for lines in self._kinds.values():
            count = len(lines)
            parts = min(count, KEPT)
            for part in range(parts):
                begin, end = part * count // parts, (part + 1) * count // parts
                number, line = lines[end - 1]
                found.append((number, line, end - begin))
        found.sort()
        for _, line, alike in found:
            yield line, alike
