"""native/headers.c under sanitizers, against what it should do in a few lines of Python, on any headers at all."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.edge.native import sanitized

Headers = list[tuple[bytes, bytes]]
RESERVED = re.compile(
    rb"(fly|roost|steer|x-envoy)-.*|forwarded|proxy|x-forwarded-(host|server|prefix)|x-original-url|x-rewrite-url",
    re.DOTALL,
)
HOST = re.compile(rb"([\w-]+(\.[\w-]+)*\.?|\[[0-9a-fA-F:.]+\])(:[0-9]+)?", re.ASCII)
WISHES = (b"force-instance-id", b"prefer-instance-id", b"force-region")
SET = (b"x-request-id", b"fly-request-id")


@dataclass
class Native:
    """The compiled code, which answers request after request; a fault of memory ends it."""

    process: subprocess.Popen[bytes]

    def apply(self, headers: Headers, client: bytes = b"192.0.2.1:1234") -> Headers:
        """Return the headers as they are after."""
        texts = [client, *(text for header in headers for text in header)]
        message = struct.pack("<I", len(headers)) + b"".join(struct.pack("<I", len(text)) + text for text in texts)
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.process.stdin.write(message)
        self.process.stdin.flush()
        try:
            number = self._number(self.process.stdout)
            found = [self._text(self.process.stdout) for _ in range(2 * number)]
        except struct.error:
            raise AssertionError(self.process.stderr.read().decode()[:3000]) from None
        return list(zip(found[::2], found[1::2], strict=True))

    @staticmethod
    def _number(stream: IO[bytes]) -> int:
        return int(struct.unpack("<I", stream.read(4))[0])

    def _text(self, stream: IO[bytes]) -> bytes:
        return stream.read(self._number(stream))


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    directory = tmp_path_factory.mktemp("native")
    program = sanitized.program(directory, "envoy_headers.c", "headers.c", "texts.c", "address_limit.c")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([program, "443 on names 1000 1000000 7 far away"], **pipes) as process:  # type: ignore[call-overload]
        yield Native(process)
        process.stdin.close()
        assert process.wait(10) == 0, process.stderr.read().decode()


def expected(headers: Headers) -> Headers:
    """Return what has to come out, without ids and in any order of names."""
    told: Headers = [(name, value) for name, value in headers if not RESERVED.fullmatch(name) and name not in SET]

    def asked(name: bytes) -> bytes:
        said = [[value for key, value in headers if key == prefix + name] for prefix in (b"fly-", b"roost-")]
        return next((values[0] for values in said if values and values[0]), b"")

    told += [(b"steer-" + name, asked(name)) for name in (*WISHES, b"replay-cache-control") if asked(name)]
    if any(asked(name) for name in WISHES):
        told.append((b"steer-wish", b"1"))
    told = [one for one in told if one[0] != b"x-forwarded-ssl"]
    if not any(name == b"x-forwarded-port" for name, _ in told):
        told.append((b"x-forwarded-port", b"443"))
    hosts = [value for name, value in headers if name == b":authority"]
    if not hosts or not all(HOST.fullmatch(host) for host in hosts):
        told.append((b"roost-refuse", b"name"))
    told += [(b"fly-client-ip", b"192.0.2.1"), (b"x-forwarded-for", b"192.0.2.1"), (b"fly-region", b"far away")]
    return [*told, (b"fly-forwarded-port", b"443"), (b"x-forwarded-ssl", b"on")]


_KNOWN = [
    b"fly-force-instance-id", b"roost-force-region", b"fly-force-region", b"roost-prefer-instance-id", b"fly-",
    b"roost-replay-cache-control", b"steer-wish", b"steer-force-region", b"x-envoy-retry-on", b"proxy", b"forwarded",
    b"x-forwarded-for", b"x-forwarded-port", b"x-forwarded-ssl", b"x-request-id", b"fly-request-id", 
    b"x-forwarded-host", b"host", b"cookie", b"x", b"f", b"s", b"", b"fly-client-ip", b"x-original-url",
]  # fmt: skip
_NAMES = st.sampled_from(_KNOWN) | st.binary(max_size=40).map(bytes.lower)
_PIECES = st.sampled_from([b"a", b"-_Z9", b".", b":", b"8", b"[", b"]", b"::1", b",", b"@", b"/", b" ", b"\xe9", b"\n"])
_HOSTS = st.lists(_PIECES, max_size=6).map(b"".join)
_HEADER = st.tuples(_NAMES, st.binary(max_size=30)) | st.tuples(st.just(b":authority"), _HOSTS)
_HEADERS = st.lists(_HEADER, max_size=30) | st.lists(st.tuples(st.just(b":authority"), _HOSTS), min_size=1, max_size=1)


@settings(deadline=None)
@given(headers=_HEADERS)
@example(headers=[(b"fly-%d" % number, b"x" * 500) for number in range(130)])
@example(headers=[(b"x-a", b"1")] * 300)
@example(headers=[(b"fly-force-region", b"a" * 65000), (b"fly-force-region", b"b")])
def test_any_headers_come_out_as_they_should(native: Native, headers: Headers) -> None:
    found = native.apply(headers)
    ids = [value for name, value in found if name in SET]
    assert len(ids) == 2
    assert ids[0] == ids[1]
    assert re.fullmatch(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", ids[0])
    assert sorted(one for one in found if one[0] not in SET) == sorted(expected(headers))


@pytest.mark.parametrize(
    ("client", "told"),
    [
        (b"192.0.2.1:80", b"192.0.2.1"), (b"[2001:db8::1]:443", b"2001:db8::1"), (b":", None),
        (b"@/run/x.sock", None), (b"", None), (b"[", None),
    ],
)  # fmt: skip
def test_the_client_is_told_by_its_address_alone(native: Native, client: bytes, told: bytes | None) -> None:
    assert dict(native.apply([], client)).get(b"fly-client-ip") == told


def test_no_id_comes_twice(native: Native) -> None:
    ids = [dict(native.apply([]))[b"x-request-id"] for _ in range(1000)]
    assert len(set(ids)) == 1000
