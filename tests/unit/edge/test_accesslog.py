"""Lines of Envoy's log: read whole or not at all."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.edge import tail
from roost.edge.accesslog import (
    CLUSTER,
    DETAILS,
    DURATION,
    FLAG_NAMES,
    FLAGS,
    INVALID,
    PATH,
    ROUTE,
    STATUS,
    VALUES,
    entry_of,
    lost_before,
)
from roost.edge.sampling import KEPT, Lot
from roost.edge.tail import LogTail


def line(
    path: str, status: int = 200, duration: int = 1, route: str | None = "app/a", cluster: str | None = "app/a"
) -> bytes:
    values: list[object] = [None] * VALUES
    values[ROUTE], values[CLUSTER], values[STATUS], values[PATH] = route, cluster, status, path
    values[DURATION], values[DETAILS], values[FLAGS] = duration, "via_upstream", 0
    return orjson.dumps(values[:DURATION])[:-1] + b",\t" + orjson.dumps(values[DURATION:])[1:] + b"\n"


def read(*pieces: bytes) -> list[tuple[str, int]]:
    lot = Lot()
    for piece in pieces:
        lot.add(piece)
    return [(entry[PATH] if (entry := entry_of(found)) else "", alike) for found, alike in lot.chosen()]


def test_torn_and_foreign_lines_are_none_and_the_others_read() -> None:
    data = line("/a") + line("/b")[:-40] + line("/c") + b"{}\n[]\n1\n\xff,,,,,,,\n" + line("/d")
    assert read(data) == [("/a", 1), ("", 1), ("", 1), ("", 1), ("", 1), ("", 1), ("/d", 1)]


def test_lines_of_an_envoy_that_has_an_older_module_still_are_read() -> None:
    values = orjson.loads(line("/a"))
    for there in (VALUES, VALUES - 1):
        entry = entry_of(orjson.dumps(values[:there]))
        assert entry is not None and (len(entry), entry[PATH], entry[INVALID]) == (VALUES, "/a", None)
    assert entry_of(orjson.dumps(values[: VALUES - 2])) is None


def test_what_envoy_could_not_write_is_told_by_a_line() -> None:
    lines = (b"[17]", b"[17", b"[]", b'["17"]', b"17", b"\xff", line("/a"))
    assert [lost_before(told) for told in lines] == [17] + 6 * [0]


def test_bytes_that_are_no_text_make_no_line_unreadable() -> None:
    entry = entry_of(line("/a").replace(b"/a", b"/\xff\xc3\xa9"))
    assert entry is not None
    assert entry[PATH] == "/\N{REPLACEMENT CHARACTER}\N{LATIN SMALL LETTER E WITH ACUTE}"


def test_flags_come_as_bits_and_are_read_by_name() -> None:
    assert FLAG_NAMES.index("UDO") == 29, "as many as Envoy has"
    for flags, names in ((0, None), (1 << 14, "DC"), (1 << 5 | 1 << 15, "UF,URX"), (1 << 40, "")):
        entry = entry_of(line("/a").replace(b'200,0,"via', b'503,%d,"via' % flags))
        assert entry is not None
        assert entry[FLAGS] == names


@given(st.lists(st.text()), st.binary())
def test_whatever_is_in_a_file_each_line_counts_once_and_nothing_raises(paths: list[str], junk: bytes) -> None:
    good = b"".join(map(line, paths))
    found = read(good, junk + b"\n", good)
    assert sum(alike for _, alike in found) == 2 * len(paths) + sum(1 for piece in junk.split(b"\n") if piece)


def test_of_many_that_are_alike_some_stand_for_all_and_what_is_slow_or_rare_is_read() -> None:
    pieces = [line(f"/{number}") for number in range(1000)]
    pieces[500] = line("/slow", duration=1000)
    pieces[700] = line("/failed", status=502)
    pieces[800] = line("/woken", route="app/b", cluster="activator")
    pieces[900] = line("/other", route="app/b", cluster="app/b")
    found = read(b"".join(pieces[:300]), b"".join(pieces[300:]))
    assert sum(alike for _, alike in found) == 1000
    assert {path for path, alike in found if alike == 1} == {"/slow", "/failed", "/woken", "/other"}
    rest = [(int(path[1:]), alike) for path, alike in found if alike > 1]
    assert len(rest) == KEPT
    assert rest == sorted(rest)
    assert {alike for _, alike in rest} == {19, 20}


def test_what_was_led_to_no_app_stands_for_others_though_it_was_slow() -> None:
    """A client may hold thousands of requests that it has begun and cut them all at once."""
    cut = read(b"".join(line("", status=0, duration=9000, route=None, cluster=None) for _ in range(1000)))
    assert (len(cut), sum(alike for _, alike in cut)) == (KEPT, 1000)
    slow = read(b"".join(line("/", duration=9000, cluster=None) for _ in range(KEPT + 1)))
    assert slow == [("/", 1)] * (KEPT + 1), "of an app's each is read"


def test_few_are_all_read() -> None:
    assert read(b"".join(line(f"/{number}") for number in range(KEPT))) == [(f"/{n}", 1) for n in range(KEPT)]


def test_a_file_that_grows_is_read_in_whole_lines_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "ROTATE_BYTES", 100)
    path = tmp_path / "requests.log"

    def fresh() -> LogTail:
        return LogTail(path, tmp_path / "place")

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
        assert not path.exists()
        assert reader.read() == (b"", 0)
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
    reader = LogTail(path, tmp_path / "place")
    data, lost = reader.read()
    assert data.count(b"\n") + lost == 100_000
    assert lost > 0
    assert reader.read()[0] == b"b\n" * 1000


def test_nothing_but_a_regular_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret\n")
    path = tmp_path / "requests.log"
    path.symlink_to(secret)
    assert LogTail(path, tmp_path / "place").read() == (b"", 0)
    path.unlink()
    path.mkdir()
    assert LogTail(path, tmp_path / "place").read() == (b"", 0)


def test_a_place_is_of_one_file_only_whatever_its_inode(tmp_path: Path) -> None:
    path, place = tmp_path / "requests", tmp_path / "read"
    path.write_bytes(b"first\n")
    reader = LogTail(path, place)
    assert reader.read() == (b"first\n", 0)
    reader.save()
    reader.close()
    with path.open("r+b") as same:  # as a new file that got the inode of one that is gone
        same.write(b"other\nmore\n")
    again = LogTail(path, place)
    assert again.read() == (b"other\nmore\n", 0)
    again.close()
