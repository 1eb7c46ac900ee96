from __future__ import annotations

import os
from pathlib import Path

import pytest

from roost.edge import journal as journal_module
from roost.edge.journal import SLACK, Journal, read_journal
from roost.edge.protos import CLUSTER, VIRTUAL_HOST, Cluster, resource


def one(name: str, size: int = 0) -> object:
    return resource(name, Cluster(name=name, alt_stat_name="x" * size))


def test_what_was_acknowledged_is_read_back_and_what_went_is_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "last-good")
    assert journal.begin() == {}
    journal.note(CLUSTER, [one("a"), one("b")])
    journal.note(VIRTUAL_HOST, [one("a")])
    journal.note(CLUSTER, [], ["a", "never-there"])
    assert read_journal(tmp_path / "last-good") == {CLUSTER: {"b": one("b")}, VIRTUAL_HOST: {"a": one("a")}}
    assert (tmp_path / "last-good").stat().st_mode & 0o077 == 0


def test_a_torn_end_is_left_out_and_the_next_writer_goes_on_behind_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "last-good"
    journal = Journal(path)
    journal.begin()
    journal.note(CLUSTER, [one("a"), one("b")])
    journal.close()
    path.write_bytes(path.read_bytes()[:-3])
    again = Journal(path)
    assert list(again.begin()[CLUSTER]) == ["a"]
    again.note(CLUSTER, [one("c")])
    assert sorted(read_journal(path)[CLUSTER]) == ["a", "c"]


def test_the_file_does_not_grow_with_changes(tmp_path: Path) -> None:
    path = tmp_path / "last-good"
    journal = Journal(path)
    journal.begin()
    while not journal.is_wasteful():
        journal.note(CLUSTER, [one("a", 50_000)])
    assert path.stat().st_size > SLACK
    journal.rewrite({CLUSTER: {"a": one("a", 50_000)}})
    assert path.stat().st_size < 60_000
    journal.note(CLUSTER, [one("b")])
    assert sorted(read_journal(path)[CLUSTER]) == ["a", "b"]


def test_a_file_of_anything_reads_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "last-good").write_bytes(b"\xff" * 1000)
    assert read_journal(tmp_path / "last-good") == {}
    assert read_journal(tmp_path / "missing") == {}


def test_after_a_full_disk_the_next_change_writes_all_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, room, write = tmp_path / "last-good", 30, os.write

    def write_some(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        done = write(descriptor, memoryview(data)[:room])
        room -= done
        return done

    journal = Journal(path)
    journal.begin()
    journal.note(CLUSTER, [one("a"), one("b")])
    monkeypatch.setattr(journal_module, "PAUSE", 0.0)
    monkeypatch.setattr(os, "write", write_some)
    table = {CLUSTER: {"a": one("a"), "c": one("c", 100)}}
    journal.note(CLUSTER, [one("c", 100)], ["b"])
    assert journal.is_wasteful(), "it lacks something"
    journal.rewrite(table)
    assert journal.is_wasteful()
    assert not list(tmp_path.glob("*.new"))
    assert "a" in read_journal(path)[CLUSTER], "what was there stays"
    room = 1 << 20
    journal.note(CLUSTER, [one("d")])
    journal.rewrite(table | {CLUSTER: table[CLUSTER] | {"d": one("d")}})
    assert not journal.is_wasteful()
    assert sorted(read_journal(path)[CLUSTER]) == ["a", "c", "d"]
    journal.note(CLUSTER, [one("e")])
    assert "e" in read_journal(path)[CLUSTER]
    journal.close()
    journal.note(CLUSTER, [one("f")])
    assert not journal.is_wasteful(), "it is closed"
    assert "f" not in read_journal(path)[CLUSTER]
