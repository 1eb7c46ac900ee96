"""Whether a machine's app answers: single checks, what a row of them means, and waiting for a port.

It owns no state. `check` and `wait_port` open connections to a machine's private address and always
close them, also when they are cancelled; the rest is pure, with the clock passed in.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import ssl
import string
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

import h11

from roost.host import http2_check
from roost.host.network_namespace import inside
from roost.host.sockets import parse_address
from roost.model.machine_config import Check

MAX_BODY = 4096  # bytes of an answer that are read and shown
FAILURES_TO_CRITICAL = 2  # in a row, so that one lost packet takes no machine out of the edge
EAGER_INTERVAL = 0.5  # seconds between checks until the first success, and after a first failure: then it is urgent
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.02
_ATTEMPT = 0.25  # seconds for one connect: on a private link an answer takes microseconds or never comes


@dataclass(frozen=True, slots=True)
class HealthResult:
    """What one check found. `output` is for the user; `listening` says whether the port took a connection."""

    passing: bool
    output: str
    listening: bool
    status: int = 0  # of the HTTP answer, whatever it says; 0: there was none
    refused: bool = False  # HTTP/2 is spoken, but the request was not taken

    @property
    def speaks_http(self) -> bool:
        """Whether there was an answer, whatever it says."""
        return self.status > 0 or self.refused


class HealthStatus(StrEnum):
    """A check's verdict, in the words of the Fly Machines API."""

    PASSING = "passing"
    WARNING = "warning"  # it has not passed yet and is within its grace period
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class HealthState:
    """What the results so far mean. `observe` gives the next state; times are seconds on one clock."""

    started_at: float
    status: HealthStatus = HealthStatus.WARNING
    failures: int = 0  # in a row
    passed_once: bool = False
    output: str = "no check has run yet"
    checked_at: float | None = None
    changed_at: float = 0.0

    @classmethod
    def start(cls, now: float) -> HealthState:
        """Return the state of a machine that was started at `now`."""
        return cls(started_at=now, changed_at=now)

    def observe(self, check: Check, result: HealthResult, now: float) -> HealthState:
        """Return the state after `result`: a success passes at once, failures count after the grace period."""
        failures = 0 if result.passing else self.failures + 1
        if result.passing:
            status = HealthStatus.PASSING
        elif not self.passed_once:
            in_grace = now - self.started_at < check.grace_period
            status = HealthStatus.WARNING if in_grace else HealthStatus.CRITICAL
        elif failures >= FAILURES_TO_CRITICAL:
            status = HealthStatus.CRITICAL
        else:
            status = self.status
        return replace(
            self,
            status=status,
            failures=failures,
            passed_once=self.passed_once or result.passing,
            output=result.output,
            checked_at=now,
            changed_at=self.changed_at if status is self.status else now,
        )

    def next_at(self, check: Check) -> float:
        """Return when the next check is due."""
        if self.checked_at is None:
            return self.started_at
        in_doubt = not self.passed_once or 0 < self.failures < FAILURES_TO_CRITICAL
        interval = min(check.interval, EAGER_INTERVAL) if in_doubt else check.interval
        return self.checked_at + interval


async def check(check: Check, address: str) -> HealthResult:
    """Run one check against a machine; never raises for what the machine does, and ends within its timeout.

    A TCP check passes when the port takes a connection, an HTTP check on a 2xx answer. Redirects are
    not followed.
    """
    where = f"{address}:{check.port}"
    listening = False
    try:
        async with asyncio.timeout(check.timeout):
            name = (check.tls_server_name or address) if check.protocol == "https" else None
            reader, writer = await asyncio.open_connection(
                address, check.port, ssl=_tls(check) if name else None, server_hostname=name
            )
            listening = True
            try:
                if check.type == "http":
                    return await _ask(check, where, reader, writer)
                return HealthResult(True, f"port {check.port} accepts connections", True)
            finally:
                writer.close()
    except TimeoutError:
        did = "did not answer" if listening else "took no connection"
        return HealthResult(False, f"{where} {did} within {check.timeout:g} s", listening)
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason or "the handshake failed"
        return HealthResult(False, f"{where}: TLS: {why}", True)
    except h11.ProtocolError as error:
        return HealthResult(False, f"{where} gave no valid HTTP answer: {error}", listening)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        return HealthResult(False, f"{where}: {reason}", listening)


def check_inside(spec: Check, network_namespace: Path) -> HealthResult:
    """Run one check from inside a machine's network, where 127.0.0.1 is the machine's own; blocks."""
    return inside(network_namespace, lambda: asyncio.run(check(spec, "127.0.0.1")), timeout=spec.timeout + 5)


@functools.cache
def _default_tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # reading the authorities takes some 20 ms


@functools.cache
def _lenient_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _tls(check: Check) -> ssl.SSLContext:
    return _lenient_tls() if check.tls_skip_verify else _default_tls()


async def _ask(check: Check, where: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> HealthResult:
    target = quote(check.path, safe=string.punctuation)
    if check.http2:
        try:
            asked = replace(check, path=target)
            return _judged(check, *await http2_check.ask(asked, where, reader, writer, most=MAX_BODY))
        except http2_check.NoAnswer as error:
            return HealthResult(False, f"{where} gave no valid HTTP/2 answer: {error}", True, refused=error.refused)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=65536)
    given = {name.lower() for name, _ in check.headers}
    said = [("Host", where)] if "host" not in given else []
    said += [*check.headers, ("Connection", "close")]
    if "user-agent" not in given:
        said.append(("User-Agent", "roost-health-check"))
    headers = [(name.encode(), value.encode()) for name, value in said]
    writer.write(connection.send(h11.Request(method=check.method, target=target, headers=headers)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    status, body = 0, b""
    while len(body) < MAX_BODY:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(65536)
            if not status and http2_check.is_greeting(data):
                why = "it speaks HTTP/2 without TLS, so its service needs http_options.h2_backend = true"
                return HealthResult(False, f"{where}: {why}", True)
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif not isinstance(event, h11.InformationalResponse):
            break
    return _judged(check, status, body)


def _judged(check: Check, status: int, body: bytes) -> HealthResult:
    shown = body[:200].decode(errors="replace").strip()
    text = f"{check.method} {check.path} answered {status}" + (f": {shown}" if shown else "")
    return HealthResult(200 <= status < 300, text, True, status)


async def wait_port(address: str, port: int, deadline: float) -> bool:
    """Wait until `port` takes a connection; False at `deadline`, a time of `time.monotonic()`.

    The pause between attempts grows from 1 to 20 ms: an app that is up at once is seen at once, and a
    slow one costs no processor.
    """
    loop = asyncio.get_running_loop()
    pause = _FIRST_PAUSE
    while True:
        left = deadline - loop.time()  # the loop's clock is time.monotonic()
        if left <= 0:
            return False
        if await _accepts(loop, address, port, min(left, _ATTEMPT)):
            return True
        await asyncio.sleep(min(pause, max(0.0, deadline - loop.time())))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


async def _accepts(loop: asyncio.AbstractEventLoop, address: str, port: int, timeout: float) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe,
        contextlib.suppress(OSError, TimeoutError),
    ):
        async with asyncio.timeout(timeout):
            await loop.sock_connect(probe, (address, port))
        return True
    return False


def listens_on_loopback_only(pid: int, port: int) -> bool:
    """Whether an app listens on `port` at 127.0.0.1 or ::1 and nowhere else, in the network namespace of `pid`.

    Lets an error say why nobody reaches the app. False when it can't be found out.
    """
    found = [address for name in ("tcp", "tcp6") for address in _listeners(Path(f"/proc/{pid}/net/{name}"), port)]
    return bool(found) and all(found)


def _listeners(table: Path, port: int) -> list[bool]:
    """Return, for each socket that listens on `port`, whether it does so on the loopback address."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return []
    return [is_loopback for listening_port, is_loopback in map(parse_listener, lines) if listening_port == port]


def parse_listener(line: str) -> tuple[int, bool]:
    """Read a line of /proc/net/tcp or tcp6: (port, whether the address is loopback); port 0 if not listening."""
    fields = line.split()
    if len(fields) < 4 or fields[3] != "0A":  # TCP_LISTEN
        return 0, False
    address, _, port = fields[1].partition(":")
    return int(port, 16), parse_address(address).is_loopback
