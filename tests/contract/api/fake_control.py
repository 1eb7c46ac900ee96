"""A control plane in memory, behind the same Protocols as the real one: for the API's shapes only.

It keeps just enough state that what is made can be listed, and fails the way the contract says.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from tests.contract.api import (
    fake_autoscale,
    fake_certificates,
    fake_inside,
    fake_metrics,
    fake_networks,
    fake_orgs,
    fake_requests,
    fake_scaling,
    fake_schedules,
    fake_secret_keys,
    fake_tunnels,
)
from tests.contract.api.fake_deploys import Deploys, Images, Operations, Releases, Sources
from tests.contract.api.fake_machines import Leases, Machines, Updates
from tests.contract.api.fake_volumes import Volumes
from tests.contract.api.fake_world import (
    ADMIN_TOKEN,
    NOW,
    READER_TOKEN,
    World,
    new_ulid,
)

from roost.api.idempotency import MemoryReplays
from roost.control.contract import (
    AppState,
    AppStatus,
    CloudStatus,
    LogEntry,
    Principal,
    SecretInfo,
)
from roost.edge.contract import EdgeStatus
from roost.model.app import App
from roost.model.errors import FailedPrecondition, NameTaken, NotFound
from roost.model.machine import MachineState


class Apps:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, org: str | None = None) -> list[App]:
        return [app for app in self.world.apps.values() if org in (None, app.org)]

    def create(self, name: str, org: str = "personal", network: str = "", role: str = "") -> App:
        if name in self.world.apps:
            raise NameTaken(f"Name has already been taken: {name}", hint="choose another")
        app = App(new_ulid(), name, org, network or org, len(self.world.apps) + 1, 0, NOW, role)
        self.world.apps[name] = app
        return app

    def get(self, name: str) -> App:
        return self.world.app(name)

    def destroy(self, name: str, *, force: bool) -> None:
        self.world.app(name)
        if not force and any(m.app == name and m.state is MachineState.STARTED for m in self.world.machines.values()):
            raise FailedPrecondition(f"{name} has machines that run", hint="add force=true")
        del self.world.apps[name]

    def status(self, name: str) -> AppStatus:
        machines = [m for m in self.world.machines.values() if m.app == name]
        releases = self.world.releases.get(name, [])
        return AppStatus(
            self.world.app(name), f"http://{name}.roost.test:8080", AppState.EMPTY, "nothing was deployed yet",
            releases[0] if releases else None, machines, 0.0, [f"http://{name}.roost.test:8080"],
        )  # fmt: skip

    def machine_count(self, name: str) -> int:
        return len([m for m in self.world.machines.values() if m.app == name])

    def counts(self) -> dict[str, tuple[int, int]]:
        volumes = [volume.app for volume in self.world.volumes.values()]
        return {name: (self.machine_count(name), volumes.count(name)) for name in self.world.apps}


class Secrets:
    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, app: str) -> list[SecretInfo]:
        self.world.app(app)
        return [
            SecretInfo(name, hashlib.sha256(value.encode()).hexdigest()[:16], NOW, NOW)
            for name, value in sorted(self.world.secrets.get(app, {}).items())
        ]

    def get(self, app: str, name: str) -> SecretInfo:
        for secret in self.list(app):
            if secret.name == name:
                return secret
        raise NotFound("no such secret")

    def remove(self, app: str, name: str) -> int:
        self.get(app, name)
        return self.set(app, {name: None})

    def set(self, app: str, values: Mapping[str, str | None]) -> int:
        found = self.world.app(app)
        kept = self.world.secrets.setdefault(app, {})
        for name, value in values.items():
            if value is None:
                kept.pop(name, None)
            else:
                kept[name] = value
        self.world.apps[app] = replace(found, secrets_version=found.secrets_version + 1)
        return found.secrets_version + 1


class Logs:
    def __init__(self, world: World) -> None:
        self.world = world

    async def follow(
        self, app: str, *, machine: str = "", since: float = 0.0, limit: int = 100, follow: bool = False
    ) -> AsyncIterator[LogEntry]:
        self.world.asked.append(("logs", machine, since, limit, follow))
        self.world.open_streams += 1
        try:
            for number in range(3):
                yield LogEntry(NOW + number, machine or "00000000000001", "stdout", f"line {number}", "app")
            if app == "breaks":
                raise RuntimeError("an internal detail that nobody may see")
            if follow:
                await asyncio.sleep(600)
        finally:
            self.world.open_streams -= 1


class FakeControl:
    def __init__(self) -> None:
        self.world = World()
        self.apps = Apps(self.world)
        self.machines = Machines(self.world)
        self.scaling = fake_scaling.Scaling(self.world)
        self.autoscaling = fake_autoscale.Autoscaling(self.world)
        self.tunnels = fake_tunnels.Tunnels(self.world)
        self.updates = Updates(self.world)
        self.schedules = fake_schedules.Schedules(self.world)
        self.leases = Leases(self.world)
        self.replays = MemoryReplays()
        self.oidc = fake_inside.Oidc()
        self.admin = fake_inside.Admin()
        self.region = "local"
        self.domain, self.network_cidr = "roost.test", "fdaa:11:aabb::/48"
        self.volumes = Volumes(self.world)
        self.network_policies = fake_networks.NetworkPolicies(self.world)
        self.ip_assignments = fake_networks.IpAssignments(self.world)
        self.secrets = Secrets(self.world)
        self.secret_keys = fake_secret_keys.SecretKeys(self.world)
        self.certificates = fake_certificates.Certificates(self.world)
        self.logs = Logs(self.world)
        self.metrics = fake_metrics.Metrics(self.world)
        self.requests = fake_requests.Requests(self.world)
        self.sources = Sources(self.world)
        self.deploys = Deploys(self.world)
        self.releases = Releases(self.world)
        self.operations = Operations(self.world)
        self.images = Images(self.world)
        self.audit = fake_orgs.Audit()
        self.orgs = fake_orgs.Orgs()
        self.tokens = fake_orgs.Tokens(
            {
                ADMIN_TOKEN: Principal("admin", "admin", "tok_admin"),
                READER_TOKEN: Principal("reader", "reader", "tok_reader"),
            }
        )

    def status(self) -> CloudStatus:
        edge = EdgeStatus(pid=12, connected=True, routes=1)
        return CloudStatus(
            id="0011aabb",
            version="0.1.0",
            domain="roost.test",
            http_port=8080,
            https_port=8443,
            api_port=4280,
            pid=11,
            started_at=NOW,
            edge=edge,
            pool_used=10,
            pool_total=100,
            apps=len(self.world.apps),
            machines_by_state={"started": 1},
        )  # fmt: skip
