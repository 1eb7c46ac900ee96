"""native/request_log.c under sanitizers, against what it should do in a few lines of Python, on any values at all."""

from __future__ import annotations

import contextlib
import resource
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.edge.native import sanitized

from roost.edge import accesslog
from roost.edge.accesslog import entry_of, lost_before
from roost.edge.tail import CHUNK

MOST = (256, 256, 256, 16, 16, 64, 64, 64, 253, 4096)  # bytes of each text
_PLACES = (
    accesslog.ROUTE, accesslog.DETAILS, accesslog.CLUSTER, accesslog.METHOD, accesslog.PROTOCOL, accesslog.CLIENT,
    accesslog.MACHINE, accesslog.ID, accesslog.HOST, accesslog.PATH,
)  # fmt: skip
_NUMBERS = (accesslog.STATUS, accesslog.FLAGS, accesslog.BYTES_IN, accesslog.BYTES_OUT, accesslog.TRIES)
_MOMENTS = {  # where Envoy has them
    accesslog.CONNECTING: 6, accesslog.CONNECTED: 7, accesslog.SENT: 9, accesslog.SENT_WHOLE: 10,
    accesslog.ANSWERED: 11, accesslog.TOTAL: 15, accesslog.DURATION: 17,
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """What Envoy says of a request."""

    texts: tuple[bytes | None, ...]
    numbers: tuple[int, ...] = (200, 0, 0, 5, 1)
    moments: tuple[int, ...] = (0,) * 19
    happened: tuple[bool, ...] = (True,) * 19

    def spelled(self) -> bytes:
        texts = (struct.pack("<I", 2**32 - 1) if t is None else struct.pack("<I", len(t)) + t for t in self.texts)
        return b"".join(texts) + struct.pack("<5Q19q19?", *self.numbers, *self.moments, *self.happened)

    def expected(self) -> list[object]:
        """Return the values that have to be read in the end."""
        found: list[object] = [None] * accesslog.VALUES
        for place, text, most in zip(_PLACES, self.texts, MOST, strict=True):
            found[place] = None if text is None else text[:most].decode(errors="replace")
        for place, number in zip(_NUMBERS, self.numbers, strict=True):
            found[place] = number
        for place, which in _MOMENTS.items():
            if self.happened[which] and self.moments[which] >= 0:
                found[place] = self.moments[which] // (1_000_000 if place == accesslog.DURATION else 1000)
        found[accesslog.AT] = self.moments[0] // 1000 if self.happened[0] and self.moments[0] > 0 else 0
        flags = [name for bit, name in enumerate(accesslog.FLAG_NAMES) if self.numbers[1] >> bit & 1]
        found[accesslog.FLAGS] = ",".join(flags) if self.numbers[1] else None
        found[accesslog.INVALID] = (self.numbers[2] + 7) % 2**64 if "UPE" in flags else None
        return found


def read(line: bytes) -> list[object]:
    entry = entry_of(line)
    assert entry is not None, line[:300]
    return [round(value * 1e6) if place == accesslog.AT else value for place, value in enumerate(entry)]


@dataclass
class Native:
    """The compiled code, which logs lot after lot; a fault of memory ends it."""

    process: subprocess.Popen[bytes]
    log: Path

    def lines(self, lot: Sequence[Ended]) -> list[bytes]:
        """Return the lines that a lot has given, which are in a file of their own."""
        self.log.unlink(missing_ok=True)
        self.add(lot)
        return [line for line in self.log.read_bytes().split(b"\n") if line] if self.log.exists() else []

    def add(self, lot: Sequence[Ended]) -> None:
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.process.stdin.write(struct.pack("<I", len(lot)) + b"".join(one.spelled() for one in lot))
        self.process.stdin.flush()
        assert self.process.stdout.read(1) == b".", self.process.stderr.read().decode()[:3000]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sanitized.program(tmp_path_factory.mktemp("native"), "envoy_log.c", "request_log.c")


@contextlib.contextmanager
def running(program: Path, log: Path, threads: int, most: int = resource.RLIM_INFINITY) -> Iterator[Native]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([program, log, str(threads)], **pipes) as process:  # type: ignore[call-overload]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        yield Native(process, log)
        process.stdin.close()
        assert process.wait(10) == 0, process.stderr.read().decode()


@pytest.fixture(scope="module")
def native(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    with running(program, tmp_path_factory.mktemp("log") / "requests.log", 1) as one:
        yield one


def ended(path: bytes) -> Ended:
    plain = (b"app/a", b"via_upstream", b"app/a", b"GET", b"HTTP/1.1", b"127.0.0.1", b"10.0.0.1", b"id", b"a.localhost")
    return Ended((*plain, path))


_PIECES = st.sampled_from(
    [b'"', b"\\", b"\n", b'"],1]\n[', b"\x00", b"\x1f", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"a"]
)
_HOSTILE = st.none() | st.binary(max_size=300) | st.lists(_PIECES, max_size=40).map(b"".join)
_PLAIN = st.none() | st.from_regex(rb"[a-z0-9:./]{0,70}", fullmatch=True)
_TEXTS = st.tuples(*(_PLAIN if number in (4, 5, 6) else _HOSTILE for number in range(len(MOST))))
_AT = st.integers(0, 4_000_000_000 * 10**9)
_ENDED = st.builds(
    Ended,
    _TEXTS,
    st.tuples(*[st.integers(0, 2**64 - 1)] * 5),
    st.tuples(_AT, *[st.integers(-(2**63), 2**63 - 1)] * 18),
    st.tuples(*[st.booleans()] * 19),
)
_LONGEST = Ended(
    tuple(b"p" * 300 if number in (4, 5, 6) else b"\x01" * 70_000 for number in range(len(MOST))),
    (2**64 - 1,) * 5,
    (4 * 10**18, *(2**63 - 1,) * 18),
)


@settings(deadline=None)
@given(lot=st.lists(_ENDED, min_size=1, max_size=5))
@example(lot=[_LONGEST])
@example(lot=[ended(b"/" + b"x" * length) for length in range(40)])
@example(lot=[ended(b"a" * length + b'"') for length in range(20)])
@example(lot=[ended(b"/" + b'"' * 70_000), ended(b"\xff" * 70_000), ended(b"")])
def test_any_values_are_one_line_each_that_says_just_that(native: Native, lot: list[Ended]) -> None:
    lines = native.lines(lot)
    assert [read(line) for line in lines] == [one.expected() for one in lot]
    assert all(len(line) < CHUNK for line in lines)


def test_threads_at_once_lose_nothing_and_mix_nothing(program: Path, tmp_path: Path) -> None:
    with running(program, tmp_path / "requests.log", 4) as native:
        for number in range(20):
            lot = [ended(b"/%d-%d" % (number, one)) for one in range(200)]
            lines = native.lines(lot)
            assert sorted(read(line)[accesslog.PATH] for line in lines) == sorted(
                one.expected()[accesslog.PATH] for one in lot
            )  # type: ignore[type-var]


def test_each_line_that_could_not_be_written_is_counted(program: Path, tmp_path: Path) -> None:
    log, old, logged, told = tmp_path / "requests.log", tmp_path / "old", 0, 0
    lot = [ended(b"/%d" % number + b'"' * (number * 37 % 3000)) for number in range(300)]
    with running(program, log, 3, most=100_000) as native:
        for _ in range(6):
            native.add(lot)
            native.add(lot)
            logged += 2 * len(lot)
            log.rename(old)
            native.add([ended(b"/")])  # tells what was lost before
            logged += 1
            old.write_bytes(old.read_bytes() + b"\n" + log.read_bytes())
            log.unlink()
            for line in filter(None, old.read_bytes().split(b"\n")):
                told += lost_before(line) or 1  # a torn one counts as one that is lost
    assert told == logged


def test_more_at_once_than_there_is_room_for_is_counted_and_the_rest_is_whole(program: Path, tmp_path: Path) -> None:
    lot = [ended(b"/%d" % number + b"\x01" * 4000) for number in range(300)]
    with running(program, tmp_path / "requests.log", 2) as native:
        lines = [*native.lines(lot), *native.lines([ended(b"/last")])]
    lost = sum(map(lost_before, lines))
    assert lost + sum(entry_of(line) is not None for line in lines) == len(lot) + 1
    assert lost < len(lot)
