"""A cloud of its own for the host tests, on a small pool, removed without a trace afterwards."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.private_networks import free_network

from roost.host import mounts
from roost.host.agent import LocalHost
from roost.host.contract import MachineSpec
from roost.host.process import run
from roost.model.cloud import Cloud

_BASE_CACHE = Path("/var/cache/roost/test-base")


@pytest.fixture(scope="session")
def base() -> Path:
    """A Debian tree, made once per server and kept."""
    if not (_BASE_CACHE / "usr/bin/perl").exists():
        draft = _BASE_CACHE.with_name(f"test-base.{secrets.token_hex(4)}")
        shutil.rmtree(_BASE_CACHE, ignore_errors=True)
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
        tar = run(["mmdebstrap", "--variant=minbase", "--include=python3-minimal", "bookworm", "-"], timeout=280).stdout
        run(["tar", "-C", str(draft), "--exclude=./dev/*", "-xf", "-"], input=tar, timeout=60)
        draft.rename(_BASE_CACHE)
    return _BASE_CACHE


@dataclass
class Site:
    """A host agent and what makes specs for it."""

    cloud: Cloud
    host: LocalHost
    base: Path
    numbers: Iterator[int]

    def spec(self, *argv: str, **changes: object) -> MachineSpec:
        number = next(self.numbers)
        values: dict[str, object] = {
            "id": secrets.token_hex(7),
            "app": "app",
            "slot": number,
            "network": "net",
            "ipv4": self.cloud.ipv4_network[10 + number],
            "ipv6": self.cloud.ipv6_network[10 + number],
            "hostname": "machine",
            "layers": (self.base,),
            "argv": argv,
            "disk_gb": 1,
        }
        return MachineSpec(**(values | changes))  # type: ignore[arg-type]

    def agent(self, faults: Callable[[str], None] = lambda _: None) -> LocalHost:
        """Another agent of the same cloud, as after a restart of roostd."""
        return LocalHost(self.cloud, faults, pool_bytes=2 << 30, spares=0)


def leftovers(cloud: Cloud) -> list[str]:
    """What still exists of a cloud on this server."""
    found = [f"mount {point}" for point in mounts.mounts_below(cloud.pool, cloud.run / "m")]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if backing.read_text().startswith(str(cloud.home)):
                found.append(f"loop {backing}")
        except OSError:
            continue
    found += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"*/{cloud.cgroup}")]
    links = run(["ip", "-o", "link"], timeout=5).stdout.decode()
    found += [f"link {line}" for line in links.splitlines() if cloud.interface_prefix in line]
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            words = (proc / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"/run/roost/{cloud.id}/" in words:
            found.append(f"process {proc.name} {words[:80]!r}")
    return found


def make_site(home: Path, base: Path) -> Site:
    identity = secrets.token_hex(4)
    cloud = Cloud(identity, home, 0, 0, "localhost", free_network(identity))
    cloud.run.mkdir(parents=True)
    run(["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", str(cloud.run)], timeout=10)
    return Site(cloud, LocalHost(cloud, pool_bytes=2 << 30), base, itertools.count())


def end_site(site: Site) -> list[str]:
    """Destroy all of it; returns what was left behind before the last sweep."""
    try:
        site.host.destroy_everything()
        return leftovers(site.cloud)
    finally:
        run(["umount", "-l", str(site.cloud.run)], timeout=10, check=False)
        if not site.cloud.run.is_mount():
            site.cloud.run.rmdir()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Iterator[Site]:
    assert os.geteuid() == 0, "machines need root"
    made = make_site(tmp_path_factory.mktemp("home"), base)
    try:
        made.host.ensure()
        yield made
    finally:
        left = end_site(made)
    assert left == []
