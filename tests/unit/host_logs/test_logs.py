"""Reading and bounding a machine's log, on real files."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.host.log_records import MAX_LINE, Joiner, parse_record
from roost.host.logs import MachineLog

START = datetime(2024, 5, 1, 10, 0, 0, tzinfo=UTC)
LATER = START.timestamp() + 1_000_000


def record(text: bytes | str, *, second: float = 0, stream: str = "stdout", tag: str = "F") -> bytes:
    data = text.encode() if isinstance(text, str) else text
    stamp = (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "789+00:00"
    return f"{stamp} {stream} {tag} ".encode() + data + b"\n"


@pytest.fixture
def log(tmp_path: Path) -> MachineLog:
    log = MachineLog(tmp_path / "m")
    log.prepare()
    return log


def test_no_log_reads_as_empty(tmp_path: Path) -> None:
    log = MachineLog(tmp_path / "none")
    assert log.read("m") == []
    assert log.bound(1000) == 0
    log.remove()


def test_lines_carry_time_stream_and_offset(log: MachineLog) -> None:
    log.path.write_bytes(record("one") + record("two", second=1.5, stream="stderr"))
    first, second = log.read("abc")
    assert (first.machine_id, first.stream, first.text, first.at) == ("abc", "stdout", "one", START.timestamp())
    assert (second.stream, second.text, second.at) == ("stderr", "two", START.timestamp() + 1.5)
    assert log.read("abc", offset=first.offset) == [second]
    assert log.read("abc", offset=second.offset) == []
    assert log.read("abc", since=START.timestamp() + 1) == [second]


def test_partial_records_are_joined_per_stream(log: MachineLog) -> None:
    log.path.write_bytes(record("ab", tag="P") + record("err", stream="stderr") + record("cd", tag="P") + record("ef"))
    lines = log.read("m")
    assert [(line.stream, line.text) for line in lines] == [("stderr", "err"), ("stdout", "abcdef")]
    assert [line.text for line in log.read("m", offset=lines[0].offset)] == ["abcdef"]


def test_unfinished_last_line_is_shown_once_it_has_settled(log: MachineLog) -> None:
    log.path.write_bytes(record("Password: ", tag="P"))
    assert log.read("m", now=START.timestamp() + 0.1) == []
    (prompt,) = log.read("m", now=START.timestamp() + 5)
    assert prompt.text == "Password: "
    with log.path.open("ab") as f:
        f.write(record("ok", second=9))
    assert [line.text for line in log.read("m", offset=prompt.offset, now=LATER)] == ["ok"]


def test_torn_last_record_waits_for_its_end(log: MachineLog) -> None:
    whole = record("two", second=1)
    log.path.write_bytes(record("one") + whole[:-3])
    (one,) = log.read("m", now=LATER)
    with log.path.open("ab") as f:
        f.write(whole[-3:])
    assert [line.text for line in log.read("m", offset=one.offset)] == ["two"]


def test_hostile_content_does_no_harm(log: MachineLog) -> None:
    log.path.write_bytes(
        b"\x00\xff garbage\n\n"
        + record(b"\xff\xfe\x00 \x1b[31m")
        + b"9999-99-99T00:00:00Z stdout F bad time\n"
        + b"2024-05-01T10:00:00.1+00:00 stdin F other stream\n"
        + record("2024-05-01T10:00:00.1+00:00 stdout F forged")
        + record("good\r")
    )
    texts = [line.text for line in log.read("m")]
    assert texts == ["\ufffd\ufffd\x00 \x1b[31m", "2024-05-01T10:00:00.1+00:00 stdout F forged", "good"]


def test_endless_line_comes_in_bounded_pieces_without_loss(log: MachineLog) -> None:
    text = os.urandom(150_000).hex().encode()
    with log.path.open("wb") as f:
        for i in range(0, len(text), 8192):
            f.write(record(text[i : i + 8192], tag="P"))
        f.write(record("end"))
    lines, offset = [], 0
    while batch := log.read("m", offset=offset, limit=1):
        lines += batch
        assert batch[-1].offset > offset
        offset = batch[-1].offset
    assert "".join(line.text for line in lines) == text.decode() + "end"
    assert max(len(line.text) for line in lines) <= MAX_LINE
    assert len(lines) == 5


@pytest.mark.parametrize("text", ["x", " F " * 2000, "stdout F " * 10])
def test_negative_offset_gives_the_last_lines(log: MachineLog, text: str) -> None:
    with log.path.open("wb") as f:
        for i in range(5000):
            f.write(record(f"{text}{i}", second=i))
    assert [line.text for line in log.read("m", offset=-1, limit=3)] == [f"{text}{i}" for i in (4997, 4998, 4999)]
    assert len(log.read("m", offset=-1, limit=4000)) == 4000
    assert len(log.read("m", offset=-1, limit=100_000)) == 5000
    since = START.timestamp() + 4998
    assert len(log.read("m", offset=-1, limit=10, since=since)) == 2


def test_the_tail_of_a_big_file_reads_little(log: MachineLog) -> None:
    with log.path.open("wb") as f:
        f.truncate(1 << 36)  # a hole of 64 GB: reading it all would take minutes
        f.seek(0, os.SEEK_END)
        f.write(b"\n" + record("last"))
    assert [line.text for line in log.read("m", offset=-1, limit=10)] == ["last"]
    assert [line.text for line in log.read("m")] == ["last"]


def test_bound_gives_back_space_and_offsets_stay_valid(log: MachineLog) -> None:
    with log.path.open("wb") as f:
        for i in range(40_000):
            f.write(record(f"{i:0100d}"))
    middle = log.read("m", offset=-1, limit=500)[0]
    before = log.read("m", offset=middle.offset, limit=5)
    kept = log.bound(1_000_000)
    assert kept <= 1_000_000
    assert log.bound(1_000_000) == kept
    assert log.read("m", offset=middle.offset, limit=5) == before
    oldest = log.read("m", limit=1)[0]
    assert int(oldest.text) > 30_000
    assert [int(x.text) for x in log.read("m", limit=10_000_000)] == list(range(int(oldest.text), 40_000))


def test_a_reader_loses_nothing_while_it_is_written_and_bounded(log: MachineLog) -> None:
    count, batch = 30_000, 1000  # a batch is 0.25 MB: the reader is never further behind than what is kept
    may_write = threading.Semaphore(2)
    log.path.touch()

    def write() -> None:
        descriptor = os.open(log.path, os.O_WRONLY | os.O_APPEND)
        for i in range(count):
            if i % batch == 0:
                assert may_write.acquire(timeout=20)
            os.write(descriptor, record(f"{i}".ljust(200)))
        os.close(descriptor)

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[int] = []
    offset = 0
    deadline = time.monotonic() + 30
    while len(seen) < count and time.monotonic() < deadline:
        lines = log.read("m", offset=offset, limit=100_000)
        for _ in range((len(seen) + len(lines)) // batch - len(seen) // batch):
            may_write.release()
        seen += [int(line.text) for line in lines]
        offset = lines[-1].offset if lines else offset
        log.bound(1_000_000)
    writer.join()
    assert seen == list(range(count))
    assert log.path.stat().st_size > 7_000_000
    assert log.bound(1_000_000) <= 1_000_000


def test_remove_takes_the_directory_too(log: MachineLog) -> None:
    log.path.write_bytes(record("x"))
    log.remove()
    log.remove()
    assert not log.path.parent.exists()


@given(st.binary(max_size=300), st.integers(0, 1000))
def test_any_bytes_parse_or_are_refused(raw: bytes, end: int) -> None:
    found = parse_record(raw, end)
    assert found is None or found.end == end


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.booleans(), st.binary(max_size=50)), max_size=40))
def test_joining_keeps_every_byte_of_each_stream(parts: list[tuple[str, bool, bytes]]) -> None:
    joiner = Joiner("m")
    got: dict[str, list[str]] = {"stdout": [], "stderr": []}
    for number, (stream, whole, text) in enumerate(parts):
        clean = text.replace(b"\n", b"").hex().encode()
        found = parse_record(record(clean, stream=stream, tag="F" if whole else "P"), number)
        assert found is not None
        for line in joiner.add(found):
            got[stream].append(line.text)
    for line in joiner.unfinished(LATER):
        got[line.stream].append(line.text)
    for stream, texts in got.items():
        want = "".join(t.replace(b"\n", b"").hex() for s, _, t in parts if s == stream)
        assert "".join(texts) == want
