"""Asking DNS what a host name has, for certificates: each time anew, within a few seconds, whatever it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import dns.exception
import dns.name
import dns.resolver
from dns.nameserver import Do53Nameserver

from roost.model.acme import split_resolver
from roost.model.certificate import Seen

_TOGETHER = 8.0  # seconds for all questions about one name
_ONE = 3.0
_MOST = 20  # records of one kind
_LOCAL = (".localhost", ".internal", ".test", ".invalid")  # names that public DNS does not have (RFC 6761)


class DnsLookup:
    """Asks the host's resolvers, or the given ones, written as in the settings."""

    def __init__(self, nameservers: Sequence[str] = (), *, port: int = 53) -> None:
        self._nameservers = [Do53Nameserver(*split_resolver(each, port)) for each in nameservers]

    def look(self, name: str, *, target: str, challenge: str, ownership: str) -> Seen:
        """Return what DNS has for `name`, for the two names that prove things, and for the app's own name, `target`.

        Where the app's own name is one that only this server knows, no other can lead to it, and nobody is asked.
        """
        if target.endswith(_LOCAL):
            return Seen()
        try:
            ask = self._asker()
            return Seen(
                a=ask(name, "A"),
                aaaa=ask(name, "AAAA"),
                cname=ask(name, "CNAME"),
                challenge=next(iter(ask(challenge, "CNAME")), ""),
                ownership=ask(ownership, "TXT"),
                target_a=ask(target, "A"),
                target_aaaa=ask(target, "AAAA"),
            )
        except dns.exception.Timeout:
            return Seen(failed="no resolver answered in time")
        except dns.resolver.NoNameservers:
            return Seen(failed="the resolvers could not find out")
        except (dns.exception.DNSException, OSError) as error:
            return Seen(failed=type(error).__name__)

    def alias(self, name: str) -> str:
        """Return what a name is another name for, "" if it is none or nobody answers."""
        try:
            return next(iter(self._asker()(name, "CNAME")), "").lower()
        except (dns.exception.DNSException, OSError):
            return ""

    def _asker(self) -> Callable[[str, str], tuple[str, ...]]:
        resolver = dns.resolver.Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers = self._nameservers
        deadline = time.monotonic() + _TOGETHER

        def ask(name: str, kind: str) -> tuple[str, ...]:
            left = min(_ONE, deadline - time.monotonic())
            if left <= 0:
                raise dns.exception.Timeout
            try:
                answer = resolver.resolve(dns.name.from_text(name), kind, lifetime=left, search=False)
            except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
                return ()
            texts = (
                b"".join(one.strings).decode(errors="replace") if kind == "TXT" else one.to_text() for one in answer
            )
            return tuple(sorted(text.rstrip(".")[:255] for text in texts))[:_MOST]

        return ask
