"""What an operator decides of an edge: set once, at its start, and the same in all its cells. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from roost.model.rate_limit import RateLimit


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """How an edge is made. As it is, it has one cell and serves public names only."""

    region: str = "local"
    cells: int = 1  # that share the orgs; with one there is no front, but for `balancers`
    own: tuple[str, ...] = ()  # orgs that have a cell of their own besides
    private: tuple[str, ...] = ()  # its addresses in private networks, IPv4 first; (): it doesn't serve them
    by_address: RateLimit | None = None  # requests that it takes of one client address; None: no limit
    http3: bool = False  # on a port for each cell: `http3_port`
    shared: bool = True  # names of the cloud's domain share a certificate
    udp_as_client: bool = False  # datagrams reach machines with the client's own address; needs a capability more
    proxies: tuple[str, ...] = ()  # networks of proxies before it that are believed about who the client is
    postgres_port: int = 0  # that apps with the handler pg_tls share; 0: none
    balancers: tuple[str, ...] = ()  # networks whose connections say first, by the PROXY protocol, who calls


USUAL = EdgeOptions()
