"""The public certificates of the cloud's own domain: which names to ask for, what the edge shows, how it stands.

State owned: none; rows and sealed keys are the store's. Whatever fails, or until it is done, the cloud's own
authority serves. A name is asked for when its app is there, and first when a client has greeted the edge by it; a row
stays until its certificate expires, also without the app, but is not renewed then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from roost.control.core import Core, log
from roost.control.dns_lookup import DnsLookup
from roost.control.order_book import OrderBook
from roost.control.sealing import CLOUD
from roost.edge.contract import Material
from roost.model.certificate import WILDCARD, Certificate, covering
from roost.model.domain_name import DomainName
from roost.model.errors import RoostError
from roost.plan.certificates import Verdict, queried, try_now
from roost.plan.cloud_domain import Choice, Way, choose, way_now, ways_to_prove
from roost.plan.domain_report import Report, own_verdict, report
from roost.plan.issuing import asks_at, due_at


class CloudDomain:
    """Names of the cloud's domain."""

    def __init__(self, core: Core, lookup: DnsLookup, way: Way, why: str) -> None:
        """`why` there are none, if there are none: `Way.NONE`."""
        self._core, self._lookup, self._wanted_way, self._why = core, lookup, way, why
        self.way = way  # now: names one by one while the wildcard can't be had
        self._rows = core.store.domain_certificates
        self._called: set[str] = set()  # host names that are known to have been called
        self._expired: set[tuple[str, float]] = set()  # names with when theirs expired, of which the edge was told
        self._guard = threading.Lock()
        self.wake_issuing: Callable[[], None] = lambda: None
        self.show_apart: Callable[[], None] = lambda: None  # has the edge show each name its own; raises RoostError
        self.changed: Callable[[list[str]], None] = lambda _hosts: None  # tells the edge of certificates

    def book(self) -> OrderBook:
        """Return where the issuing finds the names and keeps what came of them."""

        def announce(_app: str, host: str) -> None:
            self.changed([host])

        def ended(_app: str, host: str) -> None:
            self._look_at_dns(host)

        return OrderBook(self._rows, self._due, lambda _app: CLOUD, announce, ended)

    def resume(self) -> None:
        """At the start: forget what belongs to another domain, and have another authority's replaced."""
        self._rows.keep_only(self._core.cloud.domain, self._core.acme.directory)
        self._choose_way(self._core.now())

    def _choose_way(self, now: float) -> None:
        wildcard = self._rows.find(self._wildcard) if self._wanted_way is Way.WILDCARD else None
        way = way_now(self._wanted_way, wildcard, ways_to_prove(self._core.cloud, self._core.acme), now)
        if way is not self.way:
            log.warning("certificates of the cloud's domain are asked for in another way", way=way.value)
        self.way = way

    def material(self, host: str) -> Material | None:
        """Return the public certificate for a name of the domain, None if there is none that is valid or wanted."""
        if self._core.acme.own_domain is False:
            return None
        names = [name for name in (host, covering(host)) if name]
        now = self._core.now()
        for found in self._rows.serving(names):
            if found.issued is None or found.issued.expires_at <= now:
                continue
            sealed, _ = self._rows.sealed_keys(found.hostname)
            try:
                key = self._core.vault.open(sealed or b"", f"{found.app}/issued/{found.hostname}", key=CLOUD)
            except RoostError as error:  # the own authority's serves
                log.error("the key of a certificate can't be opened", host=found.hostname, error=error.message)
                continue
            return Material(found.issued.fullchain.encode(), key)
        return None

    def was_called(self, app: str) -> None:
        """Note that a client has greeted the edge by an app's name: it is asked for before others."""
        host = self._core.cloud.app_host(app)
        if self.way is not Way.NAMES or host in self._called:
            return
        with self._guard:
            if len(self._called) > 100_000:
                self._called.clear()
            self._called.add(host)
        self._rows.add(app, host, self._core.acme.directory, self._core.now(), called=True)
        self.wake_issuing()

    def app_was_made(self) -> None:
        """Ask for the name of a new app at once: it is likely to be called soon."""
        if self.way is Way.NAMES:
            self.wake_issuing()

    def choice(self, busy: frozenset[str] = frozenset()) -> Choice:
        """Return what to ask for now."""
        newcomers: Sequence[tuple[str, str]] = ()
        if self.way is Way.NAMES:
            most = self._core.acme.names_per_week
            newcomers = [(self._core.cloud.app_host(app), org) for app, org in self._rows.apps_without(most)]
        elif self._rows.find(self._wildcard) is None:
            newcomers = [(self._wildcard, "")]
        per_week = self._core.acme.names_per_week if self.way is Way.NAMES else 2
        ours = {host for host in busy if host.endswith(f".{self._core.cloud.domain}")}
        ours -= {self._wildcard} if self.way is Way.NAMES else set()
        orgs = self._core.store.apps.orgs() if self.way is Way.NAMES else ()
        return choose(self._known(), newcomers, self._core.now(), per_week=per_week, orgs=orgs, busy=ours)

    def _known(self) -> list[DomainName]:
        """Return the rows of the kind of names that are to have certificates, also of apps that are gone."""
        return [each for each in self._rows.list() if bool(each.app) == (self.way is Way.NAMES)]

    def _wanted(self) -> list[DomainName]:
        """Return the rows of names that are to have a certificate."""
        return [each for each in self._known() if each.exists]

    @property
    def _replaced(self) -> DomainName | None:
        """The wildcard that can't be had, while names are asked for in its place."""
        return self._rows.find(self._wildcard) if self.way is not self._wanted_way else None

    @property
    def _wildcard(self) -> str:
        return f"{WILDCARD}{self._core.cloud.domain}"

    def _due(self, now: float, busy: frozenset[str]) -> Iterable[tuple[Certificate, bool]]:
        self._forget_expired(now)
        if self.way is Way.NONE:
            return
        self._choose_way(now)
        if (wildcard := self._replaced) is not None:
            self.show_apart()
            if wildcard.hostname not in busy and due_at(found := wildcard.as_certificate()) <= now:
                yield found, True
        chosen = self.choice(busy)
        for name in chosen.renew:
            yield name.as_certificate(), True
        for host in chosen.begin:
            app = "" if host == self._wildcard else host.removesuffix(f".{self._core.cloud.domain}")
            self._rows.add(app, host, self._core.acme.directory, now)
            yield self._rows.get(app, host), True
        under_way = {each.hostname for each in chosen.renew}
        for name in self._wanted():
            ask_at = asks_at(found := name.as_certificate())
            if name.hostname not in under_way and ask_at is not None and ask_at <= now and not chosen.doubt_until:
                yield found, False

    def _forget_expired(self, now: float) -> None:
        """Have the edge show the own authority's certificate where a public one has expired."""
        rows = self._rows.list()
        expired = [each for each in rows if each.issued is not None and each.issued.expires_at <= now]
        left = [each for each in rows if not each.exists and (each.issued is None or each in expired)]
        self._rows.remove([each.hostname for each in left])
        told = {(each.hostname, each.issued.expires_at) for each in expired if each.issued is not None}
        if fresh := sorted({host for host, _ in told - self._expired}):
            self.changed(fresh)
        self._expired = told

    def check(self) -> Report:
        """Ask DNS now, and let all be tried again at once, as far as the authority's own limit allows."""
        for each in [*self._wanted(), *filter(None, [self._replaced])]:
            if each.attempt is not None and each.attempt.failures:
                again = try_now(replace(each.attempt, failed_at=0.0))
                self._rows.save_attempt(each.app, each.hostname, again)
        if self.way is not Way.NONE:
            self._look_at_dns(next(iter(self._probed()), self._wildcard))
        self.wake_issuing()
        return self.report()

    def _probed(self) -> list[str]:
        failed = [each for each in self._wanted() if each.attempt is not None and each.attempt.error]
        return [each.hostname for each in failed] or [each.hostname for each in self._wanted()]

    def _look_at_dns(self, host: str) -> None:
        """Keep what DNS has for a name, so that the report can say what is wrong with it."""
        found = self._rows.find(host)
        if found is None:
            return
        domain = self._core.cloud.domain
        challenge = f"_acme-challenge.{found.as_certificate().base}"
        seen = self._lookup.look(
            queried(host), target=queried(f"{WILDCARD}{domain}"), challenge=challenge, ownership=challenge
        )
        self._rows.save_seen(found.app, host, seen, self._core.now())

    def of_app(self, app: str) -> tuple[Certificate, Verdict]:
        """Return the certificate that an app's own name has or waits for, and where it stands."""
        host, now = self._core.cloud.app_host(app), self._core.now()
        names = self._rows.serving([host, self._wildcard])
        chosen = next((each for each in names if each.issued and each.issued.expires_at > now), None)
        if chosen is None:
            row = self._core.store.apps.find(app)
            chosen = next(iter(names), None) or DomainName(host, app, now, org=row.org if row else "")
        told = replace(chosen.as_certificate(), app=app, hostname=host, acme_requested=self.way is not Way.NONE)
        return told, own_verdict(told, self._report([chosen]), now)  # nothing of other apps

    def report(self) -> Report:
        """Return how the domain's certificates stand, what is wrong, and which DNS records to add."""
        return self._report(self._wanted() if self.way is not Way.NONE else [])

    def _report(self, names: Sequence[DomainName]) -> Report:
        core = self._core
        chosen = self.choice() if self.way is not Way.NONE else Choice()
        return report(
            core.cloud.domain, self.way, self._why, names, core.now(), chosen=chosen,
            per_week=core.acme.names_per_week, address=core.public_ipv4,
            ports=(core.cloud.http_port, core.cloud.https_port), replaced=self._replaced,
        )  # fmt: skip
