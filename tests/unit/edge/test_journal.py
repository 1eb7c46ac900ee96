from __future__ import annotations

from pathlib import Path

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
