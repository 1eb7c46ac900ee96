"""native/headers.c under sanitizers, against what it should do in a few lines of Python, on any headers at all."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.edge.native import sanitized

Headers = list[tuple[bytes, bytes]]
RESERVED = re.compile(rb"(fly|roost|steer|x-envoy)-.*|proxy", re.DOTALL)
CLAIMS = re.compile(
    rb"cf-.*|client-ip|forwarded.*|fastly-client-ip|front-end-https|true-client-ip|x-original-.*|x-host"
    rb"|x-(real|client|cluster-client|remote|originating|appengine-user)-ip|x-azure-(client|socket)ip|x-remote-addr"
    rb"|x-http-host-override|x-rewrite-url|x-(url-)?scheme|x-forwarded|x-forwarded-(?!for$|port$|ssl$).*",
    re.DOTALL,
)
PROXIES = [ipaddress.ip_network(one) for one in ("198.51.100.0/25", "203.0.113.9/32", "2001:db8:8000::/33", "::1/128")]
HOST = re.compile(rb"([\w-]+(\.[\w-]+)*\.?|\[[0-9a-fA-F:.]+\])(:[0-9]+)?", re.ASCII)
WISHES = (b"force-instance-id", b"prefer-instance-id", b"force-region")
SET = (b"x-request-id", b"fly-request-id")
MARK = b"x-envoy-attempt-count"


@dataclass
class Native:
    """The compiled code, which answers request after request; a fault of memory ends it."""

    process: subprocess.Popen[bytes]
    kind: str = ""

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
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = ("headers.c", "proxies.c", "texts.c", "address_limit.c")
    return sanitized.program(tmp_path_factory.mktemp("native"), "envoy_headers.c", *parts)


@contextlib.contextmanager
def running(program: Path, kind: str, proxies: str = "-") -> Iterator[Native]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = f"443 on {kind} 1000 1000000 7 {proxies} far away"
    with subprocess.Popen([program, words], **pipes) as process:  # type: ignore[call-overload]
        yield Native(process, kind)
        process.stdin.close()
        assert process.wait(10) == 0, process.stderr.read().decode()


@pytest.fixture(scope="module")
def native(program: Path) -> Iterator[Native]:
    with running(program, "public") as one:
        yield one


@pytest.fixture(scope="module")
def private(program: Path) -> Iterator[Native]:
    with running(program, "private", ",".join(map(str, PROXIES))) as one:
        yield one


@pytest.fixture(scope="module")
def behind(program: Path) -> Iterator[Native]:
    """One that believes proxies."""
    with running(program, "public", ",".join(map(str, PROXIES))) as one:
        yield one


def is_proxy(address: bytes) -> bool:
    return any(ipaddress.ip_address(address.decode()) in one for one in PROXIES)


def read_address(text: bytes) -> bytes | None:
    """Return the address in a word of X-Forwarded-For, as it is written there."""
    found = re.fullmatch(
        rb"[ \t]*(\[(?P<v6>[^\]]*)\](:.*)?|(?P<v4>[^:]+)(:[^:]*)?|(?P<bare>.*))[ \t]*", text, re.DOTALL
    )
    assert found
    address = next((one for one in (found["v6"], found["v4"], found["bare"]) if one is not None), b"").strip(b" \t")
    try:
        ip = ipaddress.ip_address(address.decode())
    except ValueError:
        return None
    return None if "%" in str(ip) or (found["v6"] is not None and ip.version == 4) else address


def client_of(headers: Headers, peer: bytes) -> bytes:
    client = peer
    said = b",".join(value for name, value in headers if name == b"x-forwarded-for")
    for word in filter(None, (one.strip(b" \t") for one in reversed(said.split(b",")))):
        address = read_address(word)
        if not is_proxy(client) or address is None:
            break
        client = address
    return client


def expected(headers: Headers, peer: bytes = b"192.0.2.1", kind: str = "public", *, believed: bool = False) -> Headers:
    """Return what has to come out, without ids and in any order of names."""
    told: Headers = [(name, value) for name, value in headers if not RESERVED.fullmatch(name) and name not in SET]
    if kind == "public" and not believed:
        told = [one for one in told if not CLAIMS.fullmatch(one[0])]
    by = [value for name, value in headers if name == b"x-forwarded-proto"] if believed else []
    client = client_of(headers, peer) if believed else peer

    def asked(name: bytes) -> bytes:
        said = [[value for key, value in headers if key == prefix + name] for prefix in (b"fly-", b"roost-")]
        return next((values[0] for values in said if values and values[0]), b"")

    told += [(b"steer-" + name, asked(name)) for name in (*WISHES, b"replay-cache-control") if asked(name)]
    if any(asked(name) for name in WISHES):
        told.append((MARK, b"wish"))
    told = [one for one in told if one[0] != b"x-forwarded-ssl"]
    if not any(name == b"x-forwarded-port" for name, _ in told):
        told.append((b"x-forwarded-port", b"443"))
    hosts = [value for name, value in headers if name == b":authority"]
    if kind == "public" and (not hosts or not all(HOST.fullmatch(host) for host in hosts)):
        told = [one for one in told if one[0] != MARK]
        told.append((MARK, b"refuse-name"))
    if (b"upgrade", b"websocket") in headers and not any(name == b"sec-websocket-key" for name, _ in headers):
        told.append((b"sec-websocket-key", b"cm9vc3Qtcm9vc3Qtcm9vcw=="))
    told += [(b"fly-client-ip", client), (b"x-forwarded-for", peer), (b"fly-region", b"far away")]
    is_on = by[-1] == b"https" if by else True
    return [*told, (b"fly-forwarded-port", b"443"), (b"x-forwarded-ssl", b"on" if is_on else b"off")]


_KNOWN = [
    b"fly-force-instance-id", b"roost-force-region", b"fly-force-region", b"roost-prefer-instance-id", b"fly-",
    b"roost-replay-cache-control", b"steer-wish", b"steer-force-region", b"x-envoy-retry-on", b"proxy", b"forwarded",
    b"x-forwarded-for", b"x-forwarded-port", b"x-forwarded-ssl", b"x-request-id", b"fly-request-id", 
    b"x-forwarded-host", b"host", b"cookie", b"x", b"f", b"s", b"", b"fly-client-ip", b"x-original-url", b"x-scheme",
    b"cf-connecting-ip", b"x-real-ip", b"true-client-ip", b"x-forwarded-proto", b"x-forwarded", b"cf-",
    b"forwarded-for",
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
@example(headers=[(b"upgrade", b"websocket")])
@example(headers=[(b"upgrade", b"websocket"), (b"sec-websocket-key", b"k")])
@example(headers=[(b"upgrade", b"h2c")])
@example(headers=[(b"fly-force-region", b"a" * 65000), (b"fly-force-region", b"b")])
def test_any_headers_come_out_as_they_should(native: Native, private: Native, headers: Headers) -> None:
    for one in (native, private):
        check(one.apply(headers), expected(headers, kind=one.kind))


def check(found: Headers, wanted: Headers) -> None:
    ids = [value for name, value in found if name in SET]
    assert len(ids) == 2
    assert ids[0] == ids[1]
    assert re.fullmatch(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", ids[0])
    assert sorted(one for one in found if one[0] not in SET) == sorted(wanted)


_NEAR = ["198.51.100.1", "198.51.100.127", "198.51.100.128", "203.0.113.9", "203.0.113.8", "2001:db8:8000::1", "::1"]
_ADDRESSES = st.sampled_from(_NEAR) | st.ip_addresses().map(str)
_AROUND = st.sampled_from(["{}", "{}:80", " {}\t", "[{}]", "[{}]:443", "x{}", "{}x", "", "unknown", "{}%eth0", ":{}"])
_WORDS = st.builds(lambda address, around: around.format(address), _ADDRESSES, st.just("{}") | _AROUND)
_SAID = st.lists(_WORDS, max_size=4).map(lambda words: (b"x-forwarded-for", ",".join(words).encode()))
_PROTO = st.tuples(st.just(b"x-forwarded-proto"), st.sampled_from([b"https", b"http", b"", b"HTTPS"]))
_LONG = (b"x-forwarded-for", b"1" * 70 + b"," + b",".join([b"203.0.113.9"] * 2000))


@settings(deadline=None)
@given(headers=st.lists(_SAID | _PROTO | _HEADER, max_size=8), peer=_ADDRESSES)
@example(headers=[_LONG], peer="203.0.113.9")
@example(headers=[(b"x-forwarded-for", b"6.6.6.6"), (b"cf-connecting-ip", b"6.6.6.6")], peer="203.0.113.8")
@example(headers=[(b"x-forwarded-for", b""), (b"x-forwarded-for", b"a" * 63)], peer="203.0.113.9")
def test_a_proxy_that_is_believed_tells_of_the_client_and_nobody_else_does(
    behind: Native, headers: Headers, peer: str
) -> None:
    address = f"[{peer}]:1" if ":" in peer else f"{peer}:1"
    wanted = expected(headers, peer.encode(), believed=is_proxy(peer.encode()))
    check(behind.apply(headers, address.encode()), wanted)


@pytest.mark.parametrize("proxies", ["", "1.2.3.4/33", "x/8", "1.2.3.4/8,", "::/129", ",", "1.2.3/8"])
def test_proxies_that_are_misspelled_are_refused(program: Path, proxies: str) -> None:
    words = f"443 on public 1000 1000000 7 {proxies} far away"
    assert subprocess.run([program, words], stdin=subprocess.DEVNULL, timeout=60, check=False).returncode == 2


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
