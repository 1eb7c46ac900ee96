"""A small DNS server for machines: names of private networks are answered here, others asked upstream.

State: its sockets, and how many questions are under way. Invariants: an answer depends on who asks, by source
address, which the packet rules vouch for; one asker has a bounded number of questions under way; nothing a
machine sends makes an error of the server. It keeps no cache: upstream resolvers have one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, cast

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

TTL = 5  # seconds that an answer of ours may be kept
UDP_SIZE = 1232  # bytes that pass every path unfragmented (DNS Flag Day 2020)
UPSTREAM_TIMEOUT = 3.0
TCP_SILENCE = 10.0  # seconds a connection may say nothing
LARGEST_QUESTION = 4096
AT_ONCE = 64  # questions under way for one asker
_TEXT_PIECE = 255  # bytes in one string of a TXT record (RFC 1035, section 3.3)
_REFUSED_TYPES = frozenset({dns.rdatatype.ANY, dns.rdatatype.AXFR, dns.rdatatype.IXFR})


@dataclass(frozen=True, slots=True)
class Records:
    """What a name of ours has. None of a kind is an empty answer; that there is no such name is told by None."""

    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    text: str | None = None


Lookup = Callable[[str, str], Awaitable[Records | None]]  # asker's address, name -> records
OURS = (dns.name.from_text("internal."), dns.name.from_text("flycast."))


def bound(addresses: Sequence[str], port: int = 53) -> list[socket.socket]:
    """Return sockets for UDP and TCP on all addresses; raises OSError when one can't be had."""
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                one = socket.socket(family, kind)
                sockets.append(one)
                one.setblocking(False)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                if kind == socket.SOCK_STREAM:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind((address, port))
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


class DnsServer:
    """Answers on some addresses. `lookup` knows the names below `internal.`, `upstream` gives the other resolvers."""

    def __init__(self, lookup: Lookup, upstream: Callable[[], Sequence[str]], report: Callable[[str], None]) -> None:
        self._lookup = lookup
        self._upstream = upstream
        self._report = report
        self._busy: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Answer on sockets that `bound` gave."""
        loop = asyncio.get_running_loop()
        for one in sockets:
            if one.type == socket.SOCK_DGRAM:
                await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=one)
            else:
                await asyncio.start_server(self._connection, sock=one, limit=LARGEST_QUESTION + 2)

    def spawn(self, asker: str, work: Coroutine[Any, Any, None]) -> None:
        """Carry work out for an asker, unless it has too much under way: then it is dropped, as a full network does."""
        if self._busy[asker] >= AT_ONCE:
            work.close()
            return
        self._busy[asker] += 1
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(asker, done))

    def _ended(self, asker: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._busy[asker] -= 1
        if not self._busy[asker]:
            del self._busy[asker]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(repr(error))

    async def answer(self, asker: str, wire: bytes, *, limit: int) -> bytes | None:
        """Return the answer to one question in at most `limit` bytes, or what the asker takes; None: nothing."""
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return None
        if query.flags & dns.flags.QR:
            return None
        try:
            response = await self._respond(asker, query)
        except Exception as error:
            self._report(repr(error))
            response = _failure(query, dns.rcode.SERVFAIL)
        size = limit if limit > UDP_SIZE else max(512, min(query.payload or 512, limit))
        try:
            return response.to_wire(max_size=size)
        except dns.exception.TooBig:
            short = dns.message.make_response(query, recursion_available=True)
            short.set_rcode(response.rcode())
            short.flags |= dns.flags.TC
            return short.to_wire()

    async def _respond(self, asker: str, query: dns.message.Message) -> dns.message.Message:
        if query.opcode() != dns.opcode.QUERY:
            return _failure(query, dns.rcode.NOTIMP)
        if len(query.question) != 1:
            return _failure(query, dns.rcode.FORMERR)
        question = query.question[0]
        if question.rdclass != dns.rdataclass.IN or question.rdtype in _REFUSED_TYPES:
            return _failure(query, dns.rcode.REFUSED)
        if any(question.name.is_subdomain(zone) for zone in OURS):
            return await self._ours(asker, query, question)
        return await self._theirs(query)

    async def _ours(self, asker: str, query: dns.message.Message, question: dns.rrset.RRset) -> dns.message.Message:
        records = await self._lookup(asker, question.name.to_text())
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.AA
        if records is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif values := _values(records, question.rdtype):
            response.answer.append(dns.rrset.from_text_list(question.name, TTL, "IN", question.rdtype, values))
        return response

    async def _theirs(self, query: dns.message.Message) -> dns.message.Message:
        asked = dns.message.make_query(
            query.question[0].name, query.question[0].rdtype, use_edns=0, payload=UDP_SIZE,
            want_dnssec=bool(query.ednsflags & dns.flags.DO),
        )  # fmt: skip
        for resolver in self._upstream():
            try:
                answer, _ = await dns.asyncquery.udp_with_fallback(asked, resolver, timeout=UPSTREAM_TIMEOUT)
            except (dns.exception.DNSException, OSError, EOFError):
                continue
            response = dns.message.make_response(query, recursion_available=True)
            response.set_rcode(answer.rcode())
            response.answer, response.authority = answer.answer, answer.authority
            return response
        return _failure(query, dns.rcode.SERVFAIL)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asker = _address(writer.get_extra_info("peername"))
        if self._busy[asker] >= AT_ONCE:
            writer.transport.abort()
            return
        self._busy[asker] += 1
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await self._converse(asker, reader, writer)
        finally:
            self._busy[asker] -= 1
            writer.close()

    async def _converse(self, asker: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(TCP_SILENCE):
                size = int.from_bytes(await reader.readexactly(2))
                if size > LARGEST_QUESTION:
                    return
                wire = await reader.readexactly(size)
            answer = await self.answer(asker, wire, limit=65535)
            if answer is None:
                return
            writer.write(len(answer).to_bytes(2) + answer)
            async with asyncio.timeout(TCP_SILENCE):
                await writer.drain()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        self._server.spawn(_address(address), self._reply(data, address))

    async def _reply(self, data: bytes, address: tuple[Any, ...]) -> None:
        answer = await self._server.answer(_address(address), data, limit=UDP_SIZE)
        if answer is not None:
            self._transport.sendto(answer, address)


def _address(peer: tuple[Any, ...]) -> str:
    return str(peer[0]).partition("%")[0]


def _values(records: Records, kind: dns.rdatatype.RdataType) -> list[str]:
    match kind:
        case dns.rdatatype.A:
            return list(records.ipv4)
        case dns.rdatatype.AAAA:
            return list(records.ipv6)
        case dns.rdatatype.TXT if records.text is not None:
            pieces = [records.text[at : at + _TEXT_PIECE] for at in range(0, len(records.text), _TEXT_PIECE)] or [""]
            return [" ".join(f'"{piece}"' for piece in pieces)]
    return []


def _failure(query: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(code)
    return response
