"""One cloud's control plane: all verbs, and the loops that keep what is observed equal to what is desired."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from roost import __version__
from roost.build.sources import SourceStore
from roost.control.admin import Admin
from roost.control.apps import Apps
from roost.control.audit import Audit
from roost.control.autoscale_acts import AutoscaleActs
from roost.control.autoscaling import Autoscaling
from roost.control.certificates import Certificates
from roost.control.cloud_domain import CloudDomain
from roost.control.contract import CloudStatus
from roost.control.core import Core, log
from roost.control.deploys import Deploys
from roost.control.dns_lookup import DnsLookup
from roost.control.errands import Errands
from roost.control.followers import Followers
from roost.control.growing import Growing
from roost.control.housekeeping import Housekeeping
from roost.control.images import Images
from roost.control.ip_assignments import IpAssignments
from roost.control.issuing import Issuing
from roost.control.leases import Leases
from roost.control.leveling import Leveling
from roost.control.lifecycle import Lifecycle
from roost.control.loads import CurrentLoads
from roost.control.local_authority import LocalAuthority
from roost.control.logs import Logs
from roost.control.machines import Machines
from roost.control.metrics_book import MetricsBook
from roost.control.name_proofs import NameProofs
from roost.control.network_policies import NetworkPolicies
from roost.control.oidc import Oidc
from roost.control.operations import Operations
from roost.control.order_book import of_apps
from roost.control.orgs import Orgs
from roost.control.pressure import Pressure
from roost.control.releases import Releases
from roost.control.replays import Replays
from roost.control.requests import Requests
from roost.control.rollout import Rollout
from roost.control.scaling import Scaling
from roost.control.scheduling import Scheduling
from roost.control.secret_keys import SecretKeys
from roost.control.secrets import Secrets
from roost.control.serving_certificates import ServingCertificates
from roost.control.signing_keys import SigningKeys
from roost.control.sleeping import Sleeping
from roost.control.sources import Sources
from roost.control.standing_in import StandingIn
from roost.control.statics import Statics
from roost.control.steering import Steering
from roost.control.tokens import Tokens, root_key
from roost.control.tunnels import Tunnels
from roost.control.updating import Updating
from roost.control.volumes import Volumes
from roost.control.waking import Waking
from roost.host.contract import Observed, RuntimeState
from roost.model.errors import RoostError
from roost.model.machine import Machine, MachineState
from roost.plan.cloud_domain import way_of_domain

RECOVERIES = 8  # machines brought back at the same time


class Control:
    """Implements `contract.Control`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._started_at = core.now()
        self.secrets = Secrets(core)
        self.secret_keys = SecretKeys(core)
        local_authority = LocalAuthority(core)
        lookup = DnsLookup(core.acme.resolvers)
        of_domain = CloudDomain(core, lookup, *way_of_domain(core.cloud, core.acme))
        self.certificates = Certificates(core, lookup, local_authority, of_domain)
        self.serving_certificates = ServingCertificates(core, self.certificates, local_authority, of_domain)
        self._of_domain = of_domain
        self._lifecycle = Lifecycle(core, self.secrets)
        self._followers = Followers(core, self._lifecycle)
        self._lifecycle.attach(self._followers)
        readiness, routing = self._followers.readiness, self._followers.routing
        self.certificates.announce = self.serving_certificates.announcer(routing.sync)
        proofs = NameProofs(core.edge.challenges, core.acme, self.certificates.place_of_record)
        of_domain.changed = self.serving_certificates.domain_announcer()
        of_domain.show_apart = self.serving_certificates.show_apart
        books = [of_apps(core, self.certificates.announce, self.certificates.look_again), of_domain.book()]
        self._issuing = Issuing(core, core.acme, proofs, books)
        self.certificates.wake_issuing = of_domain.wake_issuing = self._issuing.wake
        self.certificates.possible = lambda: self._issuing.possible
        self.volumes = Volumes(core)
        self.machines = Machines(core, self._lifecycle, self._followers, self.volumes)
        self.network_policies = NetworkPolicies(core)
        self.ip_assignments = IpAssignments(core, routing)
        self.updates = Updating(core, self._lifecycle, self.network_policies)
        self.leases = Leases(core)
        self.replays = Replays(core)
        signing_keys = SigningKeys(core.cloud.keys / "oidc")
        self.oidc = Oidc(core, signing_keys, core.issuer or core.cloud.api_url)
        self.admin = Admin(core, signing_keys, of_domain)
        self.region = core.region
        self.domain, self.network_cidr = core.cloud.domain, str(core.cloud.ipv6_network)
        self.operations = Operations(core)
        self.requests = Requests(core)
        core.edge.keep_requests(self.requests.record)
        self.apps = Apps(
            core,
            self._lifecycle,
            self.operations,
            self.volumes,
            self.requests,
            readiness,
            self.ip_assignments.resume,
        )
        self.apps.made = of_domain.app_was_made
        self.releases = Releases(core)
        self.logs = Logs(core)
        self.images = Images(core, self.operations)
        self.sources = Sources(SourceStore(core.cloud.pool), core.cloud.pool / "spool")
        errands = Errands(core, self.machines, self._lifecycle)
        rollout = Rollout(core, self.machines, self._lifecycle, readiness, routing, self.volumes, errands, self.updates)
        self.deploys = Deploys(core, self.operations, self.sources, self.secrets, rollout, errands)
        self.scaling = Scaling(core, self.operations, self.deploys, rollout)
        self.tokens = Tokens(core.store, core.now, root_key(core.cloud.keys))
        self.orgs = Orgs(core)
        self.audit = Audit(core.store)
        self.waking = Waking(core, self._lifecycle, readiness, routing)
        self.statics = Statics(core, routing.app_of)
        self.steering = Steering(core, self.waking, routing)
        self.tunnels = Tunnels(core, self._lifecycle)
        self._sleeping = Sleeping(core, self._lifecycle, routing, self.tunnels, self.waking.awaited)
        self._pressure = Pressure(core, self._lifecycle, kept_free=core.memory_kept_free)
        self._housekeeping = Housekeeping(
            core, self.images, self.volumes, self.audit, self.ip_assignments, self.requests, routing.sync
        )
        self._growing = Growing(core, self.volumes)
        self.metrics = MetricsBook(core, period=core.metrics_period)
        acts = AutoscaleActs(core, self.deploys, rollout, self._lifecycle, readiness, routing, self.updates)
        self._loads = CurrentLoads(core)
        self.autoscaling = Autoscaling(core, self.deploys, self.metrics, acts, self._loads)
        self.schedules = Scheduling(core, self._lifecycle)
        self._standing_in = StandingIn(core, self._lifecycle)
        self._recovered = asyncio.Event()
        self._loops: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Bring what is observed in line with what is desired, then keep it so."""
        loop = asyncio.get_running_loop()
        self._core.bind(loop)
        self._followers.bind(loop)
        await asyncio.to_thread(self.volumes.recover)
        observed = await asyncio.to_thread(self._core.host.observe_all)
        rows = {
            machine.id: machine
            for machine in await asyncio.to_thread(self._core.store.machines.unsettled, observed.keys())
        }
        await self._adopt(rows, observed)
        await asyncio.to_thread(self.admin.resume)
        await asyncio.to_thread(self.network_policies.resume)
        await asyncio.to_thread(self.ip_assignments.resume)
        await asyncio.to_thread(self._of_domain.resume)
        await self._core.edge.start()
        await self._followers.routing.sync_all()
        self._loops = [
            loop.create_task(self._recover(rows, observed)),
            loop.create_task(self._followers.sweep()),
            loop.create_task(self._sleeping.run()),
            loop.create_task(self._pressure.run()),
            loop.create_task(self._growing.run()),
            loop.create_task(self.metrics.run()),
            loop.create_task(self._issuing.run()),
            loop.create_task(self.schedules.run(self._recovered)),
            loop.create_task(
                Leveling(self._core, self._lifecycle, self._followers.routing, self._loads).run(self._recovered)
            ),
            loop.create_task(self.autoscaling.run(self._recovered)),
            loop.create_task(self._standing_in.run(self._recovered)),
            loop.create_task(self._housekeeping.look_after_host()),
            loop.create_task(self._housekeeping.clean()),
        ]

    async def _adopt(self, rows: dict[str, Machine], observed: dict[str, Observed]) -> None:
        """Take the machines that serve as they are, before the edge's table is set: no request is lost."""
        for machine_id, seen in observed.items():
            machine = rows.get(machine_id)
            if machine and machine.state is MachineState.STARTED and seen.state is RuntimeState.RUNNING:
                self._followers.adopted(machine, seen.pid)
        await asyncio.sleep(0)

    async def _recover(self, rows: dict[str, Machine], observed: dict[str, Observed]) -> None:
        """Put right what a kill or a reboot left, then go on with interrupted operations."""
        with ThreadPoolExecutor(RECOVERIES, thread_name_prefix="recover") as pool:
            loop = asyncio.get_running_loop()
            orphans = [machine_id for machine_id in observed if self._core.store.machines.find(machine_id) is None]
            works = [loop.run_in_executor(pool, self._remove_orphan, machine_id) for machine_id in orphans]
            for machine in rows.values():
                works.append(loop.run_in_executor(pool, self._recover_one, machine.id))
            await asyncio.gather(*works)
        self._recovered.set()
        for app in {machine.app for machine in rows.values()}:
            await self._followers.routing.sync(app)
        await asyncio.to_thread(self.operations.resume)
        log.info("ready", machines=len(rows), orphans=len(orphans))

    def _remove_orphan(self, machine_id: str) -> None:
        log.info("removing a machine that nothing knows", machine=machine_id)
        try:
            self._core.host.destroy(machine_id)
        except RoostError as error:
            log.warning("could not remove an orphan", machine=machine_id, error=error.message)

    def _recover_one(self, machine_id: str) -> None:
        try:
            if not self.updates.resume(machine_id):
                self._lifecycle.recover(machine_id)
        except RoostError as error:
            log.warning("recovery failed", machine=machine_id, error=error.message, hint=error.hint)
        except Exception:
            log.exception("recovery failed", machine=machine_id)

    async def stop(self, *, envoy_too: bool = False) -> None:
        """End the loops. Machines run on, and Envoy too unless asked."""
        for task in self._loops:
            task.cancel()
        self.metrics.close()
        self.autoscaling.close()
        self._followers.close()
        await self._core.edge.stop(envoy_too=envoy_too)
        await asyncio.to_thread(self.audit.flush)

    def status(self) -> CloudStatus:
        """Return how the cloud is."""
        core = self._core
        used, total = core.host.disk_usage()
        return CloudStatus(
            id=core.cloud.id,
            version=__version__,
            domain=core.cloud.domain,
            http_port=core.cloud.http_port,
            https_port=core.cloud.https_port,
            api_port=core.cloud.api_port,
            pid=os.getpid(),
            started_at=self._started_at,
            edge=core.edge.status(),
            pool_used=used,
            pool_total=total,
            apps=core.store.apps.count(),
            machines_by_state=core.store.machines.counts(),
            certificate=self._of_domain.report(),
        )
