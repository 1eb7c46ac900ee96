"""A cloud of its own for builds: a real host agent, store and builder, removed afterwards."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
from tests.e2e.private_networks import free_network

from roost.build.build_machine import Limits
from roost.build.builder import MachineBuilder
from roost.build.contract import BuildRequest, RegistrySettings
from roost.build.store import LocalImageStore
from roost.host.agent import LocalHost
from roost.host.contract import MachineSpec
from roost.host.process import run
from roost.model.build_plan import BuildPlan
from roost.model.cloud import Cloud
from roost.model.image import Image, ImageRef, parse_image_ref
from roost.plan.addresses import BUILD_SLOTS, ipv4_of, ipv6_of


@dataclass
class Workshop:
    """What a build test needs."""

    cloud: Cloud
    host: LocalHost
    store: LocalImageStore
    builder: MachineBuilder
    lines: list[str]

    @staticmethod
    def reference(text: str) -> ImageRef:
        return parse_image_ref(text)

    def build(
        self, plan: BuildPlan, source: Path, *, app: str = "app", cancelled: Event | None = None, **more
    ) -> Image:
        """Build a tree, keeping the reported lines."""
        self.lines.clear()
        request = BuildRequest(secrets.token_hex(7), app, source, plan, **more)
        return self.builder.build(request, self.lines.append, cancelled or Event())

    def run(self, image: Image, *argv: str, timeout: float = 20.0) -> str:
        """Run a command in a machine of the image and return what it wrote."""
        slot = 77
        spec = MachineSpec(
            id=secrets.token_hex(7), app="app", slot=slot, network="test", ipv4=ipv4_of(self.cloud, slot),
            ipv6=ipv6_of(self.cloud, slot), hostname="test", layers=self.store.layer_paths(image), argv=("sleep", "60"),
            env=dict(item.split("=", 1) for item in image.config.env), cwd=image.config.workdir,
        )  # fmt: skip
        try:
            self.host.start(spec)
            result = self.host.execute(spec.id, argv, timeout=timeout, env=spec.env)
            assert result.exit_code == 0, result
            return result.stdout.decode()
        finally:
            self.host.destroy(spec.id)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    assert os.geteuid() == 0, "builds run machines: be root"
    home = tmp_path_factory.mktemp("home")
    identity = secrets.token_hex(4)
    cloud = Cloud(identity, home, 0, 0, "localhost", free_network(identity))
    cloud.run.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", str(cloud.run)]
    run(mount, timeout=10)
    host = LocalHost(cloud, pool_bytes=8 << 30)
    slots = itertools.cycle(BUILD_SLOTS)

    def address():
        slot = next(slots)
        return slot, ipv4_of(cloud, slot), ipv6_of(cloud, slot)

    try:
        host.ensure()
        store = LocalImageStore(cloud, run, RegistrySettings(), grace=0.0)
        builder = MachineBuilder(cloud, store, host, run, address, limits=Limits(memory_mb=1024, deadline=300.0))
        yield Workshop(cloud, host, store, builder, [])
    finally:
        host.destroy_everything()
        run(["umount", "-l", str(cloud.run)], timeout=10, check=False)
        shutil.rmtree(cloud.run, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
        uses = cloud.cache / "uses" / f"{identity}.json"
        uses.unlink(missing_ok=True)
