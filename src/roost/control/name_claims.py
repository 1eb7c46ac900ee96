"""Host names that two apps ask for: the one for which its owner speaks in DNS gets it.

State owned: none. A name is free, or is its app's, until DNS says more for another app (`plan.claims`); it goes over
then, without what the first one had of it. A name below another org's wildcard is that org's too, when that is proven,
also when another org was first: what its owner gives away, DNS says. DNS is asked only when there is such a conflict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from roost.control.core import Core, log
from roost.model.certificate import Certificate, Seen, covering
from roost.model.errors import NameTaken, NotFound
from roost.plan.certificates import Requirements, queried, requirements
from roost.plan.claims import Proof, goes_over, how_to_prove, proof_of


class Lookup(Protocol):
    """Asks DNS."""

    def look(self, name: str, *, target: str, challenge: str, ownership: str) -> Seen:
        """Return what DNS has for a name and for those that belong to it; never raises."""

    def alias(self, name: str) -> str:
        """Return what a name is another name for, "" if it is none; never raises."""


class NameClaims:
    """Settles whose a host name is."""

    def __init__(self, core: Core, lookup: Lookup) -> None:
        self._core, self._lookup = core, lookup

    def settle(self, app: str, hostname: str, announce: Callable[[str, str], None]) -> None:
        """Return when a name is free for an app, or its own; raises NameTaken with what would make it so.

        `announce` is called with the app that has lost the name, for the edge.
        """
        rows = {each.hostname: each for each in self._core.store.certificates.serving(hostname)}
        row, wildcard = rows.get(hostname), rows.get(covering(hostname))
        if row is not None and row.app != app:
            self._from_holder(app, row, wildcard, announce)
        if (row is None or row.app != app) and wildcard is not None and self._org(wildcard.app) != self._org(app):
            self._below(app, hostname, wildcard)

    def shares(self, one: str, other: str) -> bool:
        """Say whether two apps are of one org, so that a wildcard of the one may be shown for a name of the other."""
        return one == other or self._org(one) == self._org(other)

    def _from_holder(
        self, app: str, row: Certificate, wildcard: Certificate | None, announce: Callable[[str, str], None]
    ) -> None:
        asking, wanted = self._proof(app, row.hostname)
        if not asking and wildcard is not None and self._is_of_org_alone(app, wildcard, row):
            asking = Proof.BELOW
        holding, _ = self._proof(row.app, row.hostname) if asking else (Proof.NONE, wanted)
        if not goes_over(asking, holding):
            whose, hint = "another app's", how_to_prove(row.hostname, wanted)
            if self._org(row.app) == self._org(app):
                whose, hint = f"{row.app}'s", f"`roost certs remove {row.hostname} -a {row.app}` frees it; or {hint}"
            raise NameTaken(f"{row.hostname} is {whose}", hint=hint)
        self._core.store.certificates.remove(row.app, row.hostname)
        log.warning("a host name went to the app that DNS names", host=row.hostname, app=app, before=row.app)
        announce(row.app, row.hostname)

    def _is_of_org_alone(self, app: str, wildcard: Certificate, row: Certificate) -> bool:
        """Say whether a wildcard is proven to be the org's that asks, while another org has the name below it."""
        org = self._org(app)
        return org == self._org(wildcard.app) and org != self._org(row.app) and self._is_proven(wildcard)

    def _is_proven(self, wildcard: Certificate) -> bool:
        issued = wildcard.issued is not None and wildcard.issued.expires_at > self._core.now()
        return issued or bool(self._proof(wildcard.app, wildcard.hostname)[0])

    def _below(self, app: str, hostname: str, wildcard: Certificate) -> None:
        if not self._is_proven(wildcard):
            return
        asking, wanted = self._proof(app, hostname)
        if not asking:
            raise NameTaken(
                f"{hostname} is covered by {wildcard.hostname}, which is another org's",
                hint=how_to_prove(hostname, wanted),
            )

    def _proof(self, app: str, hostname: str) -> tuple[Proof, Requirements]:
        blank = Certificate(app, hostname, False, None, None, 0.0, 0.0, 0.0)
        wanted = requirements(self._core.store.apps.get(app), blank, self._core.cloud.domain)
        seen = self._lookup.look(
            queried(hostname), target=wanted.cname, challenge=wanted.challenge_name, ownership=wanted.ownership_name
        )
        return proof_of(seen, wanted), wanted

    def _org(self, app: str) -> str:
        try:
            return self._core.store.apps.get(app).org
        except NotFound:
            return ""
