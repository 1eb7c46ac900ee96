"""The verbs on certificates: host names, what is asked for or brought for them, and what DNS says.

State owned: none; rows are the store's, private keys are sealed before they reach it. What DNS said is kept as it
was at the last check. After a change `announce` is called with app and host name, for the edge. Asking for a name twice
is as once; a key that is brought takes the place of an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from roost.control.acme_client import AcmeTrouble
from roost.control.certificate_files import read_upload
from roost.control.cloud_domain import CloudDomain
from roost.control.core import Core
from roost.control.local_authority import LocalAuthority
from roost.control.name_claims import Lookup, NameClaims
from roost.control.sealing import keys_of, of_app
from roost.edge.contract import Material
from roost.model.certificate import WILDCARD, Certificate, Seen, Uploaded, check_hostname
from roost.model.errors import BadInput, NotFound
from roost.plan.certificates import Requirements, Verdict, queried, requirements, to_serve, try_now, verdict
from roost.plan.domain_report import Trust, trust


class Certificates:
    """Certificates by app and host name."""

    def __init__(self, core: Core, lookup: Lookup, local: LocalAuthority, of_domain: CloudDomain) -> None:
        self._core, self._of_domain = core, of_domain
        self._lookup = lookup
        self._local = local
        self._claims = NameClaims(core, lookup)
        self.announce: Callable[[str, str], None] = lambda _app, _host: None
        self.wake_issuing: Callable[[], None] = lambda: None
        self.possible: Callable[[], tuple[str, ...]] = lambda: ()  # ways to prove a name to an authority

    def authority(self) -> str:
        """Return the certificate of the cloud's own authority as PEM."""
        return self._local.pem()

    def trust(self) -> Trust:
        """Return whether clients have to trust the cloud's own authority."""
        return trust(self._of_domain.report(), self._core.now())

    def list(self, app: str, *, part: str = "", after: str = "", limit: int) -> tuple[list[Certificate], int]:
        """Return those after a host name, at most `limit`, whose names hold `part`; and how many these are in all."""
        self._core.store.apps.get(app)
        return self._core.store.certificates.list(app, part=part, after=after, limit=limit)

    def get(self, app: str, hostname: str) -> Certificate:
        """Return one, or what serves an app's own name in the cloud's domain; raises NotFound."""
        self._core.store.apps.get(app)
        if hostname == self._core.cloud.app_host(app):
            return self._of_domain.of_app(app)[0]
        return self._core.store.certificates.get(app, hostname)

    def judge(self, certificate: Certificate) -> tuple[Requirements, Verdict]:
        """Return what must be in DNS, and where the certificate stands by the last check."""
        wanted = requirements(self._core.store.apps.get(certificate.app), certificate, self._core.cloud.domain)
        if certificate.hostname == self._core.cloud.app_host(certificate.app):
            return wanted, self._of_domain.of_app(certificate.app)[1]
        return wanted, verdict(certificate, wanted, self._core.now(), possible=self.possible())

    def request(self, app: str, hostname: str) -> Certificate:
        """Ask for a certificate to be issued; raises BadInput, NameTaken."""
        self._settle(app, hostname)
        changed = self._change(self._own(app, hostname), lambda found: replace(found, acme_requested=True))
        self.announce(app, changed.hostname)
        self.wake_issuing()
        return changed

    def upload(self, app: str, hostname: str, fullchain: str, private_key: str) -> Certificate:
        """Bring a certificate with its key; raises BadInput, NameTaken."""
        hostname = self._checked(hostname)
        uploaded, key = read_upload(hostname, fullchain, private_key, self._core.now())
        self._settle(app, hostname)
        with self._core.locks.holding(keys_of(app)):
            found = self._own(app, hostname)
            sealed = self._core.vault.seal(key, f"{app}/certificate/{hostname}", key=of_app(app))
            changed = replace(found, custom=uploaded, updated_at=self._core.now())
            self._core.store.certificates.save_with_key(changed, sealed)
        self.announce(app, hostname)
        return self.get(app, hostname)

    def private_key(self, certificate: Certificate) -> bytes:
        """Return the key of an uploaded certificate as PEM, for the edge alone; raises HostFailure."""
        sealed = self._core.store.certificates.sealed_key(certificate.hostname) or b""
        place = f"{certificate.app}/certificate/{certificate.hostname}"
        return self._core.vault.open(sealed, place, key=of_app(certificate.app))

    def material(self, host: str) -> Material | None:
        """Return the certificate that a client is shown for a host name, None if there is none."""
        now = self._core.now()
        found = self._core.store.certificates.serving(host)
        chosen = to_serve([each for each in found if self._claims.shares(found[0].app, each.app)], now)
        if chosen is None:
            return None
        if isinstance(chosen[1], Uploaded):
            return Material(chosen[1].fullchain.encode(), self.private_key(chosen[0]))
        return Material(chosen[1].fullchain.encode(), self._issued_key(chosen[0]))

    def _issued_key(self, certificate: Certificate) -> bytes:
        sealed, _ = self._core.store.certificates.sealed_keys(certificate.hostname)
        place = f"{certificate.app}/issued/{certificate.hostname}"
        return self._core.vault.open(sealed or b"", place, key=of_app(certificate.app))

    def owners_above(self, hostname: str) -> set[str]:
        """Return the apps that have wildcards, at any height, above a host name."""
        labels = hostname.removeprefix(WILDCARD).split(".")
        above = [f"{WILDCARD}{'.'.join(labels[count:])}" for count in range(1, len(labels) - 1)]
        return {each.app for name in above for each in self._core.store.certificates.serving(name)}

    def check(self, app: str, hostname: str) -> Certificate:
        """Ask DNS now, and keep what it says; raises NotFound."""
        found = self.get(app, hostname)
        if hostname == self._core.cloud.app_host(app):
            return found  # it needs no record of its own: the operator checks the domain as a whole
        seen = self._look(found)
        checked = self._change(
            found, lambda now: replace(now, seen=seen, checked_at=self._core.now(), attempt=try_now(now.attempt))
        )
        self.wake_issuing()
        return checked

    def look_again(self, app: str, hostname: str) -> None:
        """Keep what DNS says now that an order has ended, so that nobody is shown what was wrong before it."""
        try:
            seen = self._look(self.get(app, hostname))
            self._change(self.get(app, hostname), lambda now: replace(now, seen=seen, checked_at=self._core.now()))
        except NotFound:
            return

    def _look(self, found: Certificate) -> Seen:
        wanted, _ = self.judge(found)
        return self._lookup.look(
            queried(found.hostname),
            target=wanted.cname,
            challenge=wanted.challenge_name,
            ownership=wanted.ownership_name,
        )

    def place_of_record(self, certificate: Certificate, challenge: str) -> str:
        """Return the name at which the operator's command sets a challenge's record; raises AcmeTrouble.

        The cloud's own domain may be delegated to any name. Another name may be delegated to the one that is its app's,
        no other app's; else the command changes the name's own zone, which the operator may share with others: so DNS
        has to say first that the name is the app's, or leads here.
        """
        target, domain = self._lookup.alias(challenge), self._core.cloud.domain
        if challenge.endswith(f".{domain}"):
            return target or challenge
        found = replace(certificate, seen=self._look(certificate))
        wanted, judged = self.judge(found)
        if target == wanted.challenge_target:
            return target
        if target.endswith(f".acme.{domain}"):
            told = (
                f"{challenge} is delegated to {target}, which is not this app's: it has to be {wanted.challenge_target}"
            )
            raise AcmeTrouble("notProven", told)
        if not (judged.configured or judged.ownership):
            told = f"{certificate.hostname} neither leads here nor has one of the records that give it to this app"
            raise AcmeTrouble("notProven", told)
        return challenge

    def remove(self, app: str, hostname: str) -> None:
        """Remove the host name with all it has; raises NotFound, BadInput for a name of the cloud's domain."""
        self._own_row(app, hostname)
        self._core.store.certificates.remove(app, hostname)
        self.announce(app, hostname)

    def remove_acme(self, app: str, hostname: str) -> Certificate:
        """Ask no longer for one to be issued; raises NotFound, BadInput for a name of the cloud's domain."""
        changed = self._change(
            self._own_row(app, hostname), lambda found: replace(found, acme_requested=False, issued=None, attempt=None)
        )
        self.announce(app, hostname)
        return changed

    def remove_custom(self, app: str, hostname: str) -> Certificate:
        """Remove the one that was brought, and its key; raises NotFound, BadInput for a name of the cloud's domain."""
        changed = self._change(self._own_row(app, hostname), lambda found: replace(found, custom=None))
        self.announce(app, hostname)
        return changed

    def _settle(self, app: str, hostname: str) -> None:
        self._core.store.apps.get(app)
        self._claims.settle(app, self._checked(hostname), lambda loser, host: self.announce(loser, host))

    def _own(self, app: str, hostname: str) -> Certificate:
        """Return the row of a host name, made if it is not there."""
        self._core.store.apps.get(app)
        now = self._core.now()
        return self._core.store.certificates.add(
            Certificate(app, self._checked(hostname), False, None, None, 0.0, now, now)
        )

    def _own_row(self, app: str, hostname: str) -> Certificate:
        """Return the row of a host name of the app's own."""
        if hostname == self._core.cloud.app_host(app):
            self._checked(hostname)
        return self.get(app, hostname)

    def _checked(self, hostname: str) -> str:
        name, domain = check_hostname(hostname), self._core.cloud.domain
        if name.endswith(f".{domain}") or name == domain:
            raise BadInput(
                f"hostname: {name} is in the cloud's own domain, whose names are given to apps",
                hint=f"its certificate comes by itself: roost certs show {name}; here, add a name of a domain of yours",
            )
        return name

    def _change(self, certificate: Certificate, change: Callable[[Certificate], Certificate]) -> Certificate:
        with self._core.locks.holding(keys_of(certificate.app)):
            found = self.get(certificate.app, certificate.hostname)
            changed = replace(change(found), updated_at=self._core.now())
            self._core.store.certificates.save(changed)
        return changed
