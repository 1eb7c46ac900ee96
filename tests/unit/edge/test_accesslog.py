"""Lines of Envoy's log: read whole or not at all."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.edge import tail
from roost.edge.accesslog import FORMAT, PATH, STATUS, entries_in
from roost.edge.tail import LogTail


def line(path: str) -> bytes:
    values: list[object] = [None] * len(FORMAT)
    values[STATUS], values[PATH] = 200, path
    return orjson.dumps({"r": values}) + b"\n"


def test_torn_and_foreign_lines_are_counted_and_the_others_read() -> None:
    data = line("/a") + line("/b")[:-40] + line("/c") + b"\n{}\n[]\n1\n" + line("/d")
    entries, torn = entries_in(data)
    assert ([entry[PATH] for entry in entries], torn) == (["/a", "/d"], 5)


@given(st.lists(st.text(), min_size=1), st.binary())
def test_whatever_is_in_a_file_no_whole_line_is_lost_and_nothing_raises(paths: list[str], junk: bytes) -> None:
    good = b"".join(map(line, paths))
    entries, torn = entries_in(good + junk + b"\n" + good)
    assert [entry[PATH] for entry in entries][: len(paths)] == paths
    assert len(entries) + torn == 2 * len(paths) + 1 + junk.count(b"\n")


def test_a_file_that_grows_is_read_in_whole_lines_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "ROTATE_BYTES", 100)
    path, now, asked = tmp_path / "requests.log", 0.0, 0

    def reopen() -> None:
        nonlocal asked
        asked += 1

    def fresh() -> LogTail:
        return LogTail(path, tmp_path / "place", reopen, lambda: now)

    reader = fresh()
    assert reader.read() == (b"", 0)
    path.write_bytes(b"one\ntw")
    assert reader.read() == (b"one\n", 0)
    assert reader.read() == (b"", 0)
    reader.save()
    reader = fresh()
    with path.open("ab") as envoy:
        envoy.write(b"o\n" + b"x" * 100 + b"\n")
        envoy.flush()
        assert reader.read() == (b"two\n" + b"x" * 100 + b"\n", 0)
        assert (asked, path.exists()) == (1, False)
        now = 2.0
        assert reader.read() == (b"", 0)
        assert asked == 2, "Envoy did not hear it the first time"
        envoy.write(b"late\ntorn")
    path.write_bytes(b"new\n")
    assert reader.read() == (b"late\n", 0)
    assert reader.read() == (b"", 1)
    assert reader.read() == (b"new\n", 0)
    assert not path.with_suffix(".old").exists()


def test_when_it_grows_too_fast_the_older_file_is_passed_over_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "GIVE_UP_BYTES", 1000)
    path = tmp_path / "requests.log"
    path.with_suffix(".old").write_bytes(b"a\n" * 100_000)
    path.write_bytes(b"b\n" * 1000)
    reader = LogTail(path, tmp_path / "place", lambda: None)
    data, lost = reader.read()
    assert data.count(b"\n") + lost == 100_000
    assert lost > 0
    assert reader.read()[0] == b"b\n" * 1000


def test_nothing_but_a_regular_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret\n")
    path = tmp_path / "requests.log"
    path.symlink_to(secret)
    assert LogTail(path, tmp_path / "place", lambda: None).read() == (b"", 0)
    path.unlink()
    path.mkdir()
    assert LogTail(path, tmp_path / "place", lambda: None).read() == (b"", 0)
