"""When a roostd is taken to stand still. Clocks are passed in; the pulse is a real file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roost.daemon.pulse import PATIENCE, PERIOD, Pulse


class Roostd:
    """A pulse file whose changes are told by hand."""

    def __init__(self, path: Path) -> None:
        self.path, self.beats = path, 1
        path.touch()

    def beat(self) -> None:
        self.beats += 1
        os.utime(self.path, ns=(self.beats, self.beats))


@pytest.fixture
def roostd(tmp_path: Path) -> Roostd:
    return Roostd(tmp_path / "roostd.pulse")


def looks(seen: Pulse, begin: float, seconds: float) -> list[str]:
    """Look on a period, and return what is said."""
    return [seen.verdict(begin + PERIOD * number) for number in range(int(seconds / PERIOD) + 1)]


def test_one_whose_pulse_stops_stands_still_and_one_that_never_had_any_is_only_starting(roostd: Roostd) -> None:
    starting = Pulse(roostd.path, os.getpid())
    assert set(looks(starting, 100, 3 * PATIENCE)) == {""}
    seen = Pulse(roostd.path, os.getpid())
    seen.verdict(1000)
    roostd.beat()
    assert set(looks(seen, 1001, PATIENCE)) == {""}
    assert looks(seen, 1001 + PATIENCE, 2)[-1] == "still"
    roostd.beat()
    assert seen.verdict(1010 + PATIENCE) == ""


def test_one_that_was_frozen_together_with_who_looks_has_all_its_time_again(roostd: Roostd) -> None:
    seen = Pulse(roostd.path, os.getpid())
    seen.verdict(0)
    roostd.beat()
    seen.verdict(1)
    assert seen.verdict(1 + 10 * PATIENCE) == "", "who looks first is no proof"
    assert set(looks(seen, 2 + 10 * PATIENCE, PATIENCE - 10)) == {""}
    assert looks(seen, 3 + 11 * PATIENCE - 10, 12)[-1] == "still"
