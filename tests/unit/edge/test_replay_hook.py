"""native/replay_hook.c under sanitizers, against what it should do in a few lines of Python, on any answers at all."""

from __future__ import annotations

import base64
import struct
import subprocess
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.edge.native import sanitized

Headers = list[tuple[bytes, bytes]]
AGAIN = b"x-envoy-ratelimited"
OWN = (AGAIN, b"roost-error", b"roost-fault", b"fly-error", b"fly-request-id")
PATIENCE = b"1000 5000 "
JSON = (b"content-type", b"application/vnd.fly.replay+json")
ENDS, TRAILERS, BROKEN_OFF = 0, 1, 2
CONTINUE, STOP = 0, 1


@dataclass(frozen=True)
class Answer:
    """What an app says: headers, the parts of its body in pieces, and what is behind them."""

    headers: Headers = field(default_factory=list)
    body: list[list[bytes]] = field(default_factory=list)
    behind: int = ENDS

    def packed(self) -> bytes:
        said = [struct.pack("<I", len(self.headers)), *(_text(text) for header in self.headers for text in header)]
        said.append(struct.pack("<II", not self.body and self.behind == ENDS, len(self.body)))
        for part in self.body:
            said += [struct.pack("<I", len(part)), *map(_text, part)]
        return b"".join([*said, struct.pack("<I", self.behind)])


@dataclass(frozen=True)
class Found:
    """What the filter made of it: what it said each time, the headers then, and the order that it kept."""

    said: list[int]
    headers: Headers
    order: bytes | None


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = ("replay_hook.c", "filters.c", "admission.c", "kept.c", "bodies.c", "clock.c", "texts.c")
    return sanitized.program(tmp_path_factory.mktemp("native"), "hook_calls.c", *parts)


def hooked(program: Path, answers: list[Answer]) -> list[Found]:
    given = b"".join(answer.packed() for answer in answers)
    done = subprocess.run(
        [program, PATIENCE + b" ".join(OWN)], input=given, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:3000]
    stream, found = BytesIO(done.stdout), []
    for _ in answers:
        said = [_number(stream) for _ in range(_number(stream))]
        texts = [_read(stream) for _ in range(2 * _number(stream))]
        there, order = _number(stream), _read(stream)
        found.append(Found(said, list(zip(texts[::2], texts[1::2], strict=True)), order if there else None))
    assert not stream.read()
    return found


def _text(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


def _number(stream: BytesIO) -> int:
    return int(struct.unpack("<I", stream.read(4))[0])


def _read(stream: BytesIO) -> bytes:
    return stream.read(_number(stream))


def expected(answer: Answer) -> Found:
    """Return what has to come out; headers in any order."""

    def all_of(name: bytes) -> bytes:
        return b",".join(value for key, value in answer.headers if key == name)

    def order(kind: bytes, text: bytes) -> bytes:
        about = (b"", b"-ttl-secs", b"-allow-bypass")
        cache = b"\n".join(all_of(b"fly-replay-cache" + name) for name in about)
        if len(text) > 16384 or len(cache) > 4096:
            kind, text, cache = b"large", b"", b""
        return b":".join((b"s", kind, base64.b64encode(cache), base64.b64encode(text)))

    kept = [one for one in answer.headers if one[0] not in OWN]
    again = [*kept, (AGAIN, b"1")]
    steps = 1 + len(answer.body) + (answer.behind == TRAILERS)
    status = next((value for key, value in answer.headers if key == b":status"), b"200")
    if len(status) != 3 or status.startswith(b"0"):
        refused = [*answer.headers, (b"refused", b"roost_odd_status")]
        return Found([STOP, *[CONTINUE] * (steps - 1)], refused, None)
    for name in (b"fly-replay", b"roost-replay"):
        if any(key == name for key, _ in answer.headers):
            return Found([CONTINUE] * steps, again, order(b"header", all_of(name)))
    types = [value for key, value in answer.headers if key == b"content-type"]
    if not types or not types[0].startswith(JSON[1]):
        return Found([CONTINUE] * steps, kept, None)
    if not answer.body and answer.behind == ENDS:
        return Found([CONTINUE], again, order(b"json", b""))
    said, come = [STOP], b""
    for number, part in enumerate(answer.body):
        come += b"".join(part)
        whole = number == len(answer.body) - 1 and answer.behind == ENDS
        if whole or len(come) > 16384:
            return Found(said + [CONTINUE] * (steps - len(said)), again, order(b"json", come))
        said.append(STOP)
    if answer.behind == BROKEN_OFF:
        return Found(said, again, None)
    return Found([*said, CONTINUE], again, order(b"json", come))


_NAMES = st.sampled_from(
    [
        *OWN, b"fly-replay", b"roost-replay", b"fly-replay-cache", b"fly-replay-cache-ttl-secs", b"content-type",
        b"fly-replay-cache-allow-bypass", b"fly-replax", b"x-envoy-ratelimite", b"roost-errors",
        b"f", b"r", b"c", b"", b":statu", b"server",
    ]
)  # fmt: skip
_SIZES = st.sampled_from([0, 1, 2, 3, 40, 4093, 4094, 4095, 16383, 16384, 16385, 20000])
_TEXTS = st.binary(max_size=40) | st.builds(lambda size: b"x" * size, _SIZES)
_STATUSES = st.sampled_from([b"200", b"599", b"099", b"000", b"1000", b"20", b""])
_PLAIN = st.tuples(_NAMES, _TEXTS) | st.tuples(st.just(b":status"), _STATUSES)
_TYPES = st.sampled_from([JSON, (JSON[0], JSON[1] + b"; a=b"), (JSON[0], JSON[1][:-1]), (b"content-type", b"")])
_ANSWERS = st.builds(
    Answer,
    st.lists(_PLAIN | _TYPES, max_size=6) | st.builds(lambda more: [JSON, *more], st.lists(_PLAIN, max_size=2)),
    st.lists(st.lists(_TEXTS, max_size=4), max_size=5),
    st.sampled_from([ENDS, TRAILERS, BROKEN_OFF]),
)
LARGE = [
    Answer([(b"x-%d" % number, b"1") for number in range(500)]),
    Answer([*((b"x", b"1") for _ in range(500)), (b"fly-error", b"PR01"), (b"fly-replay", b"app=a")]),
    Answer([*((b"x", b"1") for _ in range(500)), (b":status", b"099"), (b"fly-replay", b"app=a")]),
    Answer([(b"fly-replay", b"")] * 500),
    Answer([JSON], [[b"x"] * 500] * 40),
    Answer([JSON], [[b""] * 100, [b"x" * 16384], [b""], []], TRAILERS),
    Answer([JSON], [[b"x" * 10000]] * 3, BROKEN_OFF),
    Answer([JSON, (b"fly-replay-cache", b"x" * 5000)], [[b"{}"]]),
]


@settings(max_examples=30, deadline=None)
@given(answers=st.lists(_ANSWERS, min_size=1, max_size=20))
@example(answers=LARGE)
def test_any_answer_is_an_order_or_none_and_never_the_edges_word(program: Path, answers: list[Answer]) -> None:
    for answer, found in zip(answers, hooked(program, answers), strict=True):
        should = expected(answer)
        assert (found.said, found.order) == (should.said, should.order), answer
        assert sorted(found.headers) == sorted(should.headers), answer


@pytest.mark.parametrize("names", ["a b c d e f g h i", "x" * 257])
def test_more_names_than_there_is_room_for_are_refused(program: Path, names: str) -> None:
    argv = [program, PATIENCE.decode() + names]
    assert subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=60, check=False).returncode == 3
