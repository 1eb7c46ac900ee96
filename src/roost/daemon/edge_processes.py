"""Builds the edge of a cloud, for roostd and for its stand-in alike, and puts its processes into cgroups.

State: the cgroups `roost-ID-edge-cell-0` and so on and `roost-ID-edge-front`, with a weight of processor time, memory
and pids each. They are apart from the machines', and from each other: with a common parent, others waited twice as
long while one cell was overloaded. A host that has no such controller leaves the processes without.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from roost.daemon.settings import Settings
from roost.edge.contract import CertificateSource, Waker
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.edge.process import Limit
from roost.edge.static_paths import FindStatics
from roost.edge.tls import has_wildcard
from roost.host import network_clients
from roost.host.process import spawn
from roost.host.service_cgroups import ServiceLimits, confine
from roost.model.acme import with_email
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, RoostError
from roost.plan.cloud_domain import Way, way_of_domain

MEMORY = 768 << 20  # bytes of one of several cells: above its heap's cap, so that Envoy refuses before the kernel kills
PIDS = 256
WEIGHT = 200  # of processor time when all want it: each cell's, whatever its orgs ask for; all machines have 100
FRONT_WEIGHT = 800  # all requests pass it
_HAS_IPV6 = Path("/proc/sys/net/ipv6").exists()
_log = logging.getLogger("roost.edge")


def make_edge(
    cloud: Cloud,
    settings: Settings,
    waker: Waker,
    certificates: CertificateSource | None,
    statics: FindStatics | None = None,
    *,
    shared: bool | None = None,
) -> EnvoyEdge:
    """Return the edge that the settings ask for; nothing runs yet.

    `shared`: names of the cloud's domain share a certificate; None: as the settings suggest.
    """
    if settings.edge.http3 and not (cloud.https_port and has_wildcard(cloud.domain)):
        raise BadInput(
            "edge.http3 needs a port for https and a domain that can have a wildcard certificate",
            hint=f"{cloud.domain} has none: take a domain with a dot in it, or remove edge.http3",
        )
    if (last := settings.edge.http3_ports(cloud.https_port)[-1:]) and last[0] > 65535:
        raise BadInput(
            f"edge.http3 needs a UDP port for each cell, from that of https on, and {last[0]} is none",
            hint="take a lower port for https: `roost up --https-port PORT`",
        )
    if shared is None:
        shared = way_of_domain(cloud, with_email(settings.acme, cloud.email))[0] is not Way.NAMES
    several = settings.edge.all_cells > 1

    postgres_port = settings.edge.postgres_port if cloud.https_port else 0
    fixed = {("tcp", postgres_port)} if postgres_port else set()
    fixed |= {("tcp", port) for port in (cloud.http_port, cloud.https_port) if port}
    fixed |= {("udp", port) for port in settings.edge.http3_ports(cloud.https_port)}

    def start(argv: Sequence[str], log_file: Path) -> int:
        return spawn(argv, log=log_file).pid

    def guard(ports: Collection[tuple[str, int]]) -> None:
        network_clients.serve(cloud.run, cloud.nft_table, fixed | set(ports))

    return EnvoyEdge(
        cloud,
        waker,
        start,
        EdgeOptions(
            cells=settings.edge.cells,
            own=settings.edge.own_cells,
            private=(str(cloud.edge_ipv4), *([str(cloud.edge_ipv6)] if _HAS_IPV6 else [])),
            by_address=settings.edge.by_address,
            http3=settings.edge.http3,
            shared=shared,
            postgres_port=postgres_port,
            udp_as_client=settings.edge.udp_client_address,
            proxies=settings.edge.trusted_proxies,
            balancers=settings.edge.balancers,
        ),
        certificates=certificates,
        statics=statics,
        limit=limiter(cloud) if several else lambda _name, _pid: None,
        guard=guard,
    )


def limiter(cloud: Cloud) -> Limit:
    """Return what puts a process of an edge with several cells into its cgroup."""

    def limit(name: str, pid: int) -> None:
        allowed = ServiceLimits(FRONT_WEIGHT if name == "front" else WEIGHT, MEMORY, PIDS)
        try:
            confine(f"{cloud.edge_cgroups}-{name.replace(' ', '-')}", pid, allowed)
        except (RoostError, OSError) as error:
            _log.warning("the edge's %s has no limits: %s", name, error)

    return limit
