"""The request log on disk: bounded per app and in all, readable by offsets."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roost.host.request_files import RequestFiles
from roost.model.errors import BadInput

NOW = 1_700_000_000.0


def used(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_what_is_written_is_read_on_from_any_offset(tmp_path: Path) -> None:
    files = RequestFiles(tmp_path / "requests")
    assert files.read("shop") == []
    files.append("shop", [(NOW + n, f'{{"n":{n}}}') for n in range(10)])
    again = RequestFiles(tmp_path / "requests")  # roostd was restarted
    again.append("shop", [(NOW + 10, '{"n":10}')])
    lines = again.read("shop")
    assert [line.text for line in lines] == [f'{{"n":{n}}}' for n in range(11)]
    assert [line.at for line in lines] == [NOW + n for n in range(11)]
    assert again.read("shop", offset=lines[7].offset) == lines[8:]
    assert again.read("shop", offset=-1, limit=2) == lines[-2:]
    assert (tmp_path / "requests/shop/output.log").stat().st_mode & 0o077 == 0
    files.remove("shop")
    files.remove("shop")
    assert files.apps() == []


def test_a_log_gives_its_oldest_part_back(tmp_path: Path) -> None:
    files = RequestFiles(tmp_path, app_bytes=1 << 18)
    for number in range(100):
        files.append("shop", [(NOW + number, "x" * 1000)] * 20)
    assert used(tmp_path / "shop/output.log") < 1 << 19
    first, *_, last = files.read("shop", limit=100_000)
    assert first.at > NOW
    assert last.at == NOW + 99


def test_all_logs_together_are_bounded(tmp_path: Path) -> None:
    files = RequestFiles(tmp_path, total_bytes=500_000)
    for app in ("old", "new"):
        files.append(app, [(NOW, "x" * 1000)] * 300)
    import os

    os.utime(tmp_path / "old/output.log", (NOW, NOW))
    assert files.bound_all() <= 500_000
    assert files.apps() == ["new"]


def test_an_apps_name_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        RequestFiles(tmp_path).append("../evil", [(NOW, "x")])


def test_a_disk_that_takes_a_part_only_has_whole_lines_and_the_writer_is_told_how_many(tmp_path: Path) -> None:
    files = RequestFiles(tmp_path)
    assert files.append("shop", [(NOW, "first")]) == 1
    path = tmp_path / "shop/output.log"
    one = path.stat().st_size
    with room_for(one * 3 + 5):
        assert files.append("shop", [(NOW + n, f"line{n}") for n in range(5)]) == 2
        assert files.append("shop", [(NOW, "x" * 1000)]) == 0
    with room_for(one), pytest.raises(OSError):
        files.append("shop", [(NOW, "none")])
    assert files.append("shop", [(NOW + 9, "later")]) == 1
    assert [line.text for line in files.read("shop")] == ["first", "line0", "line1", "later"]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: a write does what it can, and the next one fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
