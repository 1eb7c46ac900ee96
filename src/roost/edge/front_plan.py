"""What the fronts of an edge are told: HAProxy's configuration, and its files. Pure.

A front leads each connection to a cell of its host's org, by a map (host -> cells) that is a file at the start and is
changed through HAProxy's socket from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from roost.edge.bounds import UNREAD
from roost.edge.confinement import FRONT_USER, open_files
from roost.edge.listener import HTTP, HTTPS, incoming_socket
from roost.edge.unit import public_ports
from roost.model.cloud import Cloud

MAX_CONNECTIONS = 25_000  # as far as there are files: HAProxy wants 2.5 for each
THREADS = 4  # on few processors too: who connects while a thread handles thousands of others' connections gets another
SHARD_PART = 3  # the orgs that share both cells may have one of so many parts: the front is not theirs alone
FIRST_BYTES = "10s"  # a client has this long for its first request's headers


@dataclass(frozen=True, slots=True)
class FrontFiles:
    """The front's files below a cloud's run directory."""

    directory: Path

    @property
    def configuration(self) -> Path:
        """HAProxy's configuration."""
        return self.directory / "haproxy.cfg"

    @property
    def map(self) -> Path:
        """Host names and the cells of their orgs."""
        return self.directory / "hosts.map"

    @property
    def private(self) -> Path:
        """The one directory that the front itself may write."""
        return self.directory / "own"

    @property
    def script(self) -> Path:
        """What HAProxy runs in Lua, if anything."""
        return self.directory / "front.lua"

    @property
    def commands(self) -> Path:
        """The socket that takes commands."""
        return self.private / "commands.sock"

    @property
    def pid(self) -> Path:
        """The pid and start time."""
        return self.directory / "front.pid"


@dataclass(frozen=True, slots=True)
class Design:
    """What makes a front: its name, how it is told from others, its files and their text."""

    name: str
    node: str
    files: FrontFiles
    text: str  # HAProxy's configuration
    ports: tuple[tuple[int, str], ...]  # that must be free before it starts, with the flag for each
    user: int = FRONT_USER
    script: str = ""  # in Lua

    @property
    def contents(self) -> dict[Path, str]:
        """The files that it reads, and what they say."""
        found = {self.files.configuration: self.text}
        return found | ({self.files.script: self.script} if self.script else {})


def front_of_cells(
    cloud: Cloud, sockets: Mapping[str, Path], shards: Iterable[Sequence[str]], balancers: Sequence[str] = ()
) -> Design:
    """Return the front that joins the cells on the ports for http and https, also for `balancers` (`introduced`)."""
    files = front_files(cloud, "front")
    node = f"roost-{cloud.id}-front"
    ports = {HTTP: cloud.http_port, HTTPS: cloud.https_port}
    text = configuration(node, ports, files, sockets, list(shards), balancers)
    return Design("front", node, files, text, public_ports(cloud.http_port, cloud.https_port))


def front_files(cloud: Cloud, name: str) -> FrontFiles:
    """Return the files of a front."""
    return FrontFiles(cloud.run / "edge" / name)


def shard_key(cells: Sequence[str]) -> str:
    """Return how the map names a pair of cells."""
    return "-".join(cells)


def most_connections() -> int:
    """Return how many connections a front of this host takes."""
    return min(MAX_CONNECTIONS, (open_files() - 200) * 2 // 5)


def introduced(balancers: Sequence[str]) -> list[str]:
    """Return how a frontend takes connections of load balancers, which say first who calls; nobody else may say so."""
    return [f"  tcp-request connection expect-proxy layer4 if {{ src {' '.join(balancers)} }}"] if balancers else []


def common_lines(node: str, files: FrontFiles, scripts: Sequence[Path] = ()) -> list[str]:
    """Return what any front's configuration begins with."""
    return [
        "global",
        f"  node {node}",
        f"  maxconn {most_connections()}",
        f"  nbthread {THREADS}",
        "  noreuseport",
        *(f"  lua-load-per-thread {script}" for script in scripts),
        f"  stats socket {files.commands} mode 600 level admin",
        "defaults",
        "  mode tcp",
        "  timeout connect 1s",
        "  timeout check 500ms",
        f"  timeout client {FIRST_BYTES}",  # before it has been led to a cell; a balancer's first words, too
        f"  timeout server {FIRST_BYTES}",
        "  timeout tunnel 1d",  # from then on: the cell knows how long a request may be silent
        "  timeout client-fin 10s",
        "  timeout server-fin 10s",
        "  option clitcpka",  # a client that vanished is noticed after two minutes
        "  clitcpka-idle 60s",
        "  clitcpka-intvl 15s",
        "  clitcpka-cnt 4",
        "  option splice-auto",
        "  option redispatch 1",
        "  retries 3",
    ]


def configuration(
    node: str, ports: Mapping[str, int], files: FrontFiles, sockets: Mapping[str, Path],
    shards: Iterable[Sequence[str]], balancers: Sequence[str] = (),
) -> str:  # fmt: skip
    """Return HAProxy's configuration.

    `ports`: of http and https, 0 for none; `sockets`: the directory where each cell takes connections; `balancers` see
    `introduced`. Pure but for this host's limits.
    """
    connections = most_connections()
    lines = [
        *common_lines(node, files),
        "backend cells",
        "  option httpchk",
        "  http-check send meth GET uri / ver HTTP/1.1 hdr Host first.invalid",
        "  http-check expect status 404",
        *(
            f"  server {cell} unix@{incoming_socket(sockets[cell], HTTP)} send-proxy-v2 check inter 250ms fall 3 rise 1"
            for cell in sockets
        ),
    ]
    for way, port in ports.items():
        if not port:
            continue
        lines += [
            f"frontend {way}",
            f"  bind 0.0.0.0:{port} tcp-ut {UNREAD}ms",
            *introduced(balancers),
            f"  tcp-request inspect-delay {FIRST_BYTES}",
        ]
        lines += [*_host_rules(way, files.map), f"backend {way}-any", "  balance source", "  hash-type consistent"]
        lines += _servers(way, list(sockets), sockets)
        for shard in shards:
            lines += [
                f"backend {way}-{shard_key(shard)}",
                "  balance first",  # and the second only when the first is down
                f"  tcp-request content reject if {{ be_conn gt {connections // SHARD_PART} }}",
                *_servers(way, shard, sockets),
            ]
    return "\n".join(lines) + "\n"


def _host_rules(way: str, hosts: Path) -> list[str]:
    """Return how a frontend finds a connection's host: in the Host header, or in the TLS greeting."""
    if way == HTTPS:
        host = "req.ssl_sni"
        rules = ["  tcp-request content accept if { req.ssl_hello_type 1 }"]
    else:
        host = "req.hdr(host),field(1,:)"
        rules = [
            # The headers are here, or more of them than are looked at. Whether they are HTTP is the cell's to say: it
            # can answer what is none, too. The text ends at a zero for HAProxy, hexadecimal digits do not.
            r'  tcp-request content accept if { req.payload(0,0) -m sub "\r\n\r\n" "\n\n" }'
            " || { req.payload(0,0),hex -m sub 0D0A0D0A } || { req.len gt 15000 }",
        ]
    return [
        *rules,
        "  tcp-request content reject",
        f"  use_backend {way}-%[{host},lower,map_str({hosts},any)]",
        f"  default_backend {way}-any",
    ]


def _servers(way: str, cells: Sequence[str], sockets: Mapping[str, Path]) -> list[str]:
    """Return the servers of a backend. When none answers its checks in time, on a busy host, the first gets all."""
    first = (
        f"  server unchecked unix@{incoming_socket(sockets[cells[0]], way)} id {len(cells) + 1} send-proxy-v2 backup"
    )
    return [
        *(
            f"  server {cell} unix@{incoming_socket(sockets[cell], way)} id {number} send-proxy-v2 track cells/{cell}"
            for number, cell in enumerate(cells, 1)
        ),
        first,
    ]
