"""Asking DNS: a server on loopback that knows a few names."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from roost.control.dns_lookup import DnsLookup
from roost.model.certificate import Seen

ZONE = {
    ("www.shop.example.", "A"): ["192.0.2.8", "192.0.2.7"],
    ("www.shop.example.", "AAAA"): ["2001:db8::7"],
    ("cdn.shop.example.", "CNAME"): ["shop.cloud.example."],
    ("_fly-ownership.shop.example.", "TXT"): ['"app-a1b2"', '"two " "parts"'],
    ("_acme-challenge.shop.example.", "CNAME"): ["x.acme.cloud.example."],
    ("shop.cloud.example.", "A"): ["192.0.2.7"],
}
REST = {
    "target": "shop.cloud.example",
    "challenge": "_acme-challenge.shop.example",
    "ownership": "_fly-ownership.shop.example",
}


class Server(threading.Thread):
    def __init__(self, failing: bool = False) -> None:
        super().__init__(daemon=True)
        self.failing = failing
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        self.asked: list[str] = []

    def run(self) -> None:
        while True:
            try:
                data, sender = self.socket.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            query = dns.message.from_wire(data)
            reply = dns.message.make_response(query)
            reply.flags |= dns.flags.RA
            (question,) = query.question
            name, kind = question.name.to_text().lower(), question.rdtype.name
            self.asked.append(f"{name} {kind}")
            known = ZONE.get((name, kind))
            if self.failing:
                reply.set_rcode(dns.rcode.SERVFAIL)
            elif known:
                reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *known))
            elif not any(owner == name for owner, _ in ZONE):
                reply.set_rcode(dns.rcode.NXDOMAIN)
            self.socket.sendto(reply.to_wire(), sender)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self.join(5)
        self.socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.start()
    yield made
    made.close()


def test_what_there_is(server: Server) -> None:
    seen = DnsLookup(["127.0.0.1"], port=server.port).look("www.shop.example", **REST)
    assert seen == Seen(
        a=("192.0.2.7", "192.0.2.8"),
        aaaa=("2001:db8::7",),
        challenge="x.acme.cloud.example",
        ownership=("app-a1b2", "two parts"),
        target_a=("192.0.2.7",),
    )


def test_a_name_that_is_not_there(server: Server) -> None:
    seen = DnsLookup(["127.0.0.1"], port=server.port).look("none.example", **REST)
    assert (seen.a, seen.aaaa, seen.cname, seen.failed) == ((), (), (), "")


def test_where_no_name_can_lead_nobody_is_asked(server: Server) -> None:
    seen = DnsLookup(["127.0.0.1"], port=server.port).look("www.shop.example", **(REST | {"target": "shop.localhost"}))
    assert (seen, server.asked) == (Seen(), [])


def test_failures_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Server(failing=True)
    failing.start()
    try:
        assert (
            DnsLookup(["127.0.0.1"], port=failing.port).look("a.example", **REST).failed
            == "the resolvers could not find out"
        )
    finally:
        failing.close()
    monkeypatch.setattr("roost.control.dns_lookup._ONE", 0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        seen = DnsLookup(["127.0.0.1"], port=silent.getsockname()[1]).look("a.example", **REST)
    assert seen.failed == "no resolver answered in time"
