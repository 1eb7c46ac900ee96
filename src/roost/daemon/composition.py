"""roostd: the control plane, host agent, activator and xDS server of one server, in one process.

The composition root: builds every part from the settings and hands them to each other; nothing else does.
Killed at any moment, it leaves machines and Envoy running; started again, it adopts them. SIGTERM and SIGINT
end it in order and with exit code 0: requests under way are answered (for 3 s), its loops and servers stop,
machines and Envoy run on. Operations under way are left as a kill would leave them, and the next roostd goes on
with them. What it was asked to do lives in the store, never here. One runs per cloud (`sole`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import os
import signal
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import NoReturn

import structlog

from roost import __version__
from roost.api.app import create_api
from roost.build.builder import MachineBuilder
from roost.build.store import LocalImageStore
from roost.control.control import Control
from roost.control.core import Core
from roost.control.key_ring import KeyRing
from roost.control.sealing import Vault
from roost.control.steering import Steering
from roost.daemon import companions, edge_stand_in, log_lines, logs, pulse, readiness, sole
from roost.daemon.api_server import bind_api, serve_api
from roost.daemon.cloud_file import load_cloud
from roost.daemon.edge_processes import make_edge
from roost.daemon.faults import fault_points
from roost.daemon.machine_sockets import MachineSockets
from roost.daemon.settings import Settings, read_settings
from roost.edge.contract import Material, WakeResult
from roost.edge.static_paths import AppStatics
from roost.host.agent import LocalHost
from roost.host.contract import Doors
from roost.host.open_files import allow_all
from roost.host.own_address import outgoing_ipv4
from roost.host.process import run
from roost.model.acme import AcmeSettings, with_email
from roost.model.certificate import WILDCARD
from roost.model.cloud import FLYCAST_PORT, Cloud
from roost.model.errors import RoostError
from roost.model.steering import Wish
from roost.plan.addresses import BUILD_SLOTS, ipv4_of, ipv6_of
from roost.plan.cloud_domain import shares_certificate, way_now, way_of_domain, ways_to_prove
from roost.plan.public_ports import PortRules
from roost.store.store import Store

log = structlog.get_logger("roostd")
NAMES_PATIENCE = 3.0  # seconds to wait for the DNS server
STOP_TIMEOUT = 10.0  # for control's own ending; less than the supervisor and systemd wait before they kill


class _LateWaker:
    """The edge needs a waker before control, which needs the edge, can be built."""

    control: Control | None = None

    async def wake(self, host: str) -> WakeResult:
        return await self._known.wake(host)

    async def wake_port(self, app: str, protocol: str, port: int) -> WakeResult:
        return await self._known.wake_port(app, protocol, port)

    def host_at(self, address: str) -> str:
        return self._known.host_at(address)

    def app_of(self, host: str) -> str:
        return self._known.app_of(host)

    def machine_at(self, app: str, address: str) -> tuple[str, str]:
        return self._known.machine_at(app, address)

    async def reach(self, source: str, app: str, wish: Wish) -> WakeResult:
        return await self._known.reach(source, app, wish)

    @property
    def _known(self) -> Steering:
        if self.control is None:
            raise RuntimeError("the edge was started before control")
        return self.control.steering

    async def statics(self, host: str) -> AppStatics | None:
        if self.control is None:
            raise RuntimeError("the edge was started before control")
        return await self.control.statics.find(host)

    async def certificate(self, host: str) -> Material | None:
        if self.control is None:
            raise RuntimeError("the edge was started before control")
        return await self.control.serving_certificates.certificate(host)


def build(cloud: Cloud, settings: Settings, doors: Doors) -> Control:
    """Build the control plane of a cloud; nothing runs yet but the host's pool and network are there."""
    fault = fault_points(settings.fault_file)
    host = LocalHost(
        cloud, fault, pool_bytes=settings.pool_gb << 30 or None, doors=doors, clients=settings.edge.clients,
        callers=settings.edge.udp_client_address,
    )  # fmt: skip
    host.ensure()
    images = LocalImageStore(cloud, run, settings.registry)
    slots = itertools.cycle(BUILD_SLOTS)

    def address() -> tuple[int, IPv4Address, IPv6Address]:
        slot = next(slots)
        return slot, ipv4_of(cloud, slot), ipv6_of(cloud, slot)

    waker = _LateWaker()
    acme = with_email(settings.acme, cloud.email)
    store = Store(cloud.database_url)
    core = Core(
        cloud=cloud,
        store=store,
        host=host,
        edge=make_edge(cloud, settings, waker, waker, waker.statics, shared=_shares_certificate(cloud, acme, store)),
        images=images,
        builder=MachineBuilder(cloud, images, host, run, address),
        vault=Vault(KeyRing(cloud.keys), store.data_keys),
        memory_kept_free=settings.memory_reserve_mb << 20,
        issuer=settings.issuer,
        acme=acme,
        public_ipv4=settings.edge.address or outgoing_ipv4(),
        port_rules=PortRules(
            cloud.http_port,
            cloud.https_port,
            settings.edge.service_ports,
            (cloud.api_port, FLYCAST_PORT, *settings.edge.http3_ports(cloud.https_port)),
            settings.edge.postgres_port if cloud.https_port else 0,
        ),
        metrics_period=settings.metrics_period,
        fault=fault,
    )
    waker.control = Control(core)
    return waker.control


def _shares_certificate(cloud: Cloud, acme: AcmeSettings, store: Store) -> bool:
    """Say whether the names of the cloud's domain share a certificate from this start on."""
    way, _ = way_of_domain(cloud, acme)
    if acme.own_domain is False:
        return True
    wildcard, now = store.domain_certificates.find(f"{WILDCARD}{cloud.domain}"), time.time()
    way = way_now(way, wildcard, ways_to_prove(cloud, acme), now)
    return shares_certificate(cloud.domain, way, store.domain_certificates.list(), now)


def provide_tokens(control: Control, cloud: Cloud) -> None:
    """At the first start, make the admin token (shown once by `roost up`) and the local command line's own."""
    for name, file in (("admin", "admin.token.once"), ("command line on the server", "cli.token")):
        if (cloud.keys / "cli.token").exists() and file != "cli.token":
            continue
        path = cloud.keys / file
        if path.exists():
            continue
        partial = path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(control.tokens.create(name) + "\n")
        partial.rename(path)


async def serve(cloud: Cloud, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then end everything but machines, Envoy and the operations under way."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    listening = bind_api(cloud.api_port)
    lives = asyncio.create_task(pulse.keep(cloud, settings.notify_socket))
    sockets = MachineSockets(asyncio.get_running_loop())
    control = await asyncio.to_thread(build, cloud, settings, sockets)  # netlink calls may not run on an event loop
    if asked.is_set():
        return
    provide_tokens(control, cloud)
    keeping = await asyncio.to_thread(edge_stand_in.take_over, cloud)  # held until this process ends
    dns = companions.dns(cloud)
    names = asyncio.create_task(companions.keep_running(dns))
    files = asyncio.create_task(companions.keep_running(companions.statics(cloud)))
    await companions.until_ready(dns, NAMES_PATIENCE)  # a machine that starts from here on finds its network's names
    stand_in = asyncio.create_task(edge_stand_in.keep_running(cloud))  # for one that fails from here on, too
    bounds = asyncio.create_task(logs.keep_bounded(cloud.logs))
    await control.start()
    edge_stand_in.remember_settings(cloud)
    try:
        api = create_api(control, replays=control.replays, rates=settings.rates, version=__version__)
        sockets.serve(api)
        await serve_api(api, listening, asked, lambda: readiness.tell(settings.notify_socket))
    finally:
        names.cancel()
        files.cancel()
        stand_in.cancel()
        bounds.cancel()
        lives.cancel()
        sockets.stop()
        try:
            await asyncio.wait_for(control.stop(), STOP_TIMEOUT)
        except TimeoutError:
            log.warning("some of roostd did not stop in time", seconds=STOP_TIMEOUT)
        os.close(keeping)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run roostd for `--home`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="roostd", description="Roost's control plane, in the foreground.")
    parser.add_argument("--home", type=Path, required=True)
    home: Path = parser.parse_args(arguments).home
    try:
        settings = read_settings(home)
    except RoostError as error:
        log_lines.set_up("info")
        log.error("roostd can't run", error=error.message, hint=error.hint or f"see {home / 'config.toml'}")
        return 1
    log_lines.set_up(settings.log_level)
    allow_all()  # each machine has a socket here, asleep or not
    gc.freeze()  # modules are never garbage: not to be looked through again and again
    gc.enable()
    gc.set_threshold(50_000, 20, 20)  # one answer makes thousands of objects; a round for each 700 took a third of it
    try:
        cloud = load_cloud(home, cache=settings.cache)
        lock = sole.become_the_roostd(cloud)
        # Not asyncio.run: that would cancel what operations await on this loop, and they would count that as a failure.
        asyncio.Runner().run(serve(cloud, settings))
        log.info("ended")
        os.close(lock)
    except RoostError as error:
        log.error("roostd can't run", error=error.message, hint=error.hint)
        return 1
    except Exception:
        log.exception("roostd failed")
        return 1
    return 0


def leave(code: int) -> NoReturn:
    """End this process at once, without waiting for threads: what they do is made to be killed at any moment."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)
