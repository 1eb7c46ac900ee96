"""What certificate the edge shows for a name: brought ones first, then issued ones, then the local authority's.

Names of the cloud's domain have public ones where there are any (`cloud_domain`), else the local authority's.

State owned: none beyond what `LocalAuthority` has. Implements the edge's `CertificateSource`. An expired certificate
that was brought gives way to one that was issued, and is shown if there is no other: clients then say what is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from roost.control.certificates import Certificates
from roost.control.cloud_domain import CloudDomain
from roost.control.core import Core, log
from roost.control.local_authority import LocalAuthority
from roost.edge.contract import Material
from roost.edge.tls import has_wildcard
from roost.model.errors import BadInput, RoostError
from roost.model.names import check_app_name

ANNOUNCE_TIMEOUT = 10.0  # seconds
APART_TIMEOUT = 60.0


class ServingCertificates:
    """Finds the certificate for a name."""

    def __init__(self, core: Core, certificates: Certificates, local: LocalAuthority, of_domain: CloudDomain) -> None:
        self._core, self._of_domain = core, of_domain
        self._certificates = certificates
        self._local = local

    async def certificate(self, host: str) -> Material | None:
        """Return what to show a client that says this name, None if there is none."""
        return await asyncio.to_thread(self.find, host)

    def find(self, host: str) -> Material | None:
        """Return the certificate for a name; raises HostFailure when its key can't be opened."""
        domain = self._core.cloud.domain
        if host == f"*.{domain}":
            return self._of_domain.material(host) or self._local.wildcard()
        if host == domain:
            return self._local.single(host)
        if host.endswith(f".{domain}"):
            return self._in_domain(host, host.removesuffix(f".{domain}"))
        return self._certificates.material(host)

    def _in_domain(self, host: str, app: str) -> Material | None:
        """Return the certificate for a name of the cloud's domain, where they don't share one.

        None for names that nobody has, though the wildcard would do: the edge keeps each name that it was told of.
        """
        if not self._is_app(app):
            return None
        self._of_domain.was_called(app)
        if (found := self._of_domain.material(host)) is not None:
            return found
        return self._local.wildcard() if has_wildcard(self._core.cloud.domain) else self._local.single(host)

    def announcer(self, sync: Callable[[str], Awaitable[None]]) -> Callable[[str, str], None]:
        """Return what to call, on any thread, when an app's host name has changed; the edge has it then."""

        async def announce(app: str, host: str) -> None:
            self._core.edge.certificates_changed([host])
            owners = await asyncio.to_thread(self._certificates.owners_above, host)
            for each in (app, *sorted(owners - {app})):  # what is below a wildcard is no longer, or again, its app's
                await sync(each)

        def on_any_thread(app: str, host: str) -> None:
            try:
                self._core.on_loop(announce(app, host), ANNOUNCE_TIMEOUT)
            except (RoostError, TimeoutError) as error:  # the sweep tries again
                log.warning("the edge does not have a host name yet", app=app, host=host, error=str(error))

        return on_any_thread

    def domain_announcer(self) -> Callable[[list[str]], None]:
        """Return what to call, on any thread, when certificates of the cloud's domain have changed."""

        async def announce(hosts: list[str]) -> None:
            self._core.edge.certificates_changed(hosts)

        def on_any_thread(hosts: list[str]) -> None:
            self._core.begin_on_loop(announce(hosts))

        return on_any_thread

    def show_apart(self) -> None:
        """Have the edge show each name of the cloud's domain its own; on any other thread than the loop's."""
        try:
            self._core.on_loop(self._core.edge.show_names_apart(), APART_TIMEOUT)
        except TimeoutError:
            log.warning("the edge does not show each name its own certificate yet")

    def _is_app(self, name: str) -> bool:
        try:
            return self._core.store.apps.find(check_app_name(name)) is not None
        except BadInput:
            return False
