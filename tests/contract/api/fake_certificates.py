"""Certificates in memory: what is judged and what is accepted is real, what DNS says is told by the test."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from roost.control.certificate_files import read_upload
from roost.model.certificate import Certificate, Seen, check_hostname
from roost.model.errors import NameTaken, NotFound
from roost.plan.certificates import Requirements, Verdict, requirements, verdict
from roost.plan.domain_report import Trust

if TYPE_CHECKING:
    from tests.contract.api.fake_world import World

AT = 1_700_000_000.5


class Certificates:
    def __init__(self, world: World) -> None:
        self.world = world
        self.kept: dict[str, Certificate] = {}
        self.dns: dict[str, Seen] = {}
        self.now = AT

    def list(self, app: str, *, part: str = "", after: str = "", limit: int) -> tuple[list[Certificate], int]:
        self.world.app(app)
        mine = [c for name, c in sorted(self.kept.items()) if c.app == app and part in name]
        return [c for c in mine if c.hostname > after][:limit], len(mine)

    def authority(self) -> str:
        return "-----BEGIN CERTIFICATE-----\n"

    def trust(self) -> Trust:
        return Trust(False, "nobody has to trust it")

    def get(self, app: str, hostname: str) -> Certificate:
        self.world.app(app)
        found = self.kept.get(hostname)
        if found is None or found.app != app:
            raise NotFound(f"{app} has no certificate for {hostname}")
        return found

    def judge(self, certificate: Certificate) -> tuple[Requirements, Verdict]:
        wanted = requirements(self.world.app(certificate.app), certificate, "roost.test")
        return wanted, verdict(certificate, wanted, self.now)

    def _own(self, app: str, hostname: str) -> Certificate:
        self.world.app(app)
        name = check_hostname(hostname)
        found = self.kept.setdefault(name, Certificate(app, name, False, None, None, 0.0, AT, AT))
        if found.app != app:
            raise NameTaken(f"{name} is another app's", hint="remove it there first")
        return found

    def _keep(self, certificate: Certificate) -> Certificate:
        self.kept[certificate.hostname] = certificate
        return certificate

    def request(self, app: str, hostname: str) -> Certificate:
        return self._keep(replace(self._own(app, hostname), acme_requested=True))

    def upload(self, app: str, hostname: str, fullchain: str, private_key: str) -> Certificate:
        uploaded, _ = read_upload(check_hostname(hostname), fullchain, private_key, self.now)
        return self._keep(replace(self._own(app, hostname), custom=uploaded))

    def check(self, app: str, hostname: str) -> Certificate:
        found = self.get(app, hostname)
        return self._keep(replace(found, seen=self.dns.get(hostname, Seen()), checked_at=self.now))

    def remove(self, app: str, hostname: str) -> None:
        self.get(app, hostname)
        del self.kept[hostname]

    def remove_acme(self, app: str, hostname: str) -> Certificate:
        return self._keep(replace(self.get(app, hostname), acme_requested=False))

    def remove_custom(self, app: str, hostname: str) -> Certificate:
        return self._keep(replace(self.get(app, hostname), custom=None))
