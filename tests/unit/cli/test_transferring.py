"""What a transfer shows on a terminal (a real one, with two ends), and that it shows nothing elsewhere."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roost.cli import waiting
from roost.cli.source import pack, scan


@contextmanager
def screen(quiet: float) -> Iterator[int]:
    """Have standard error be a terminal: what is written to it comes here."""
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "100")
        patch.setattr(waiting, "QUIET", quiet)
        patch.setattr(sys, "stderr", terminal)
        yield master
    os.close(master)


def read_until(master: int, text: bytes, timeout: float = 10.0) -> bytes:
    found, deadline = b"", time.monotonic() + timeout
    while text not in found:
        left = deadline - time.monotonic()
        assert left > 0, f"{text!r} is not in {found!r}"
        if select.select([master], [], [], left)[0]:
            found += os.read(master, 65536)
    return found


def test_bytes_and_their_rate_are_shown_while_it_takes() -> None:
    with screen(quiet=0.05) as master, waiting.transferring("Uploading", 2_000_000) as passed:
        passed(300_000)
        passed(200_000)
        shown = read_until(master, b"0.5/2.0 MB")
        assert b"Uploading" in shown
        passed(1_000_000)
        assert b"B/s" in read_until(master, b"1.5/2.0 MB")


def test_what_is_done_at_once_shows_nothing() -> None:
    with screen(quiet=60.0) as master:
        with waiting.transferring("Uploading", 10) as passed:
            passed(10)
        assert not select.select([master], [], [], 0)[0]


def test_nothing_is_shown_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    before = threading.active_count()
    with waiting.transferring("Uploading", 10) as passed:
        passed(10)
        assert threading.active_count() == before  # nor will be
    assert told.getvalue() == ""


def test_of_a_source_tree_each_byte_counts_once(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(1_000_000))
    (tmp_path / "small").write_text("x")
    counts: list[int] = []
    tree = scan(tmp_path)
    assert sum(map(len, pack(tree, counts.append))) > 1_000_000
    assert (sum(counts), len(counts) > 3) == (tree.bytes, True)
