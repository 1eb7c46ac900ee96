"""Private networks: each machine's own link to the host, and what may pass over it.

Every machine has a veth pair of its own. There is no shared layer 2: all that it sends goes to the
host, which routes it. So no machine can pose as another by MAC, ARP, neighbour or router
advertisement, and the rules in `nftables.py` see each packet. The host end carries the number of the
private network as its *link group*; the host has one route per address (`ADDRESS/32 dev LINK`), which
also is what the rules check source addresses against.

It owns every link whose name begins with the cloud's prefix, the cloud's nftables table, two
unreachable routes for the cloud's address ranges, and the numbers of its networks. It turns on IP
forwarding, which is the host's and stays on.

Invariant: a machine reaches machines of its own private network and the outside, nothing else; a
prepared link that was not assigned reaches nothing. Each call may be repeated, also after it was
killed half-way: `prepare` starts again from nothing unless the pair is whole, `assign` replaces.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute  # type: ignore[import-untyped]
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

from roost.host import network_callers, network_clients, network_flycast, nftables
from roost.host.contract import PrivateAddress
from roost.host.network_clients import NO_LIMITS, ClientLimits
from roost.host.network_filters import Limited, NetworkFilters
from roost.host.network_forwarding import allow_forwarding
from roost.host.network_groups import NetworkGroups
from roost.host.network_namespace import MACHINE_SYSCTLS, inside, write_sysctls
from roost.host.network_resolvers import resolvers
from roost.model.cloud import FLYCAST_PORT, Cloud
from roost.model.errors import HostFailure
from roost.model.network_policy import Filter

__all__ = ["Network", "link_name", "resolvers"]

GUEST_LINK = "eth0"
GATEWAY_IPV6 = "fe80::1"  # on the host end of every link; the same in every machine
_HAS_IPV6 = Path("/proc/sys/net/ipv6").exists()
_HOST_NETNS = "/proc/self/ns/net"
_NODAD = 0x02  # IFA_F_NODAD: nobody else can hold the address on a link of two
_UNREACHABLE_METRIC = 4_278_198_272


def link_name(cloud: Cloud, name: str) -> str:
    """Return the name of the host end of `name`'s link: the cloud's prefix and 30 bits of a hash."""
    digest = hashlib.sha256(name.encode()).digest()
    return cloud.interface_prefix + base64.b32encode(digest)[:6].decode().lower()


class Network:
    """The private networks of one cloud on this host. Safe to use from several threads."""

    def __init__(self, cloud: Cloud, *, clients: ClientLimits = NO_LIMITS, callers: bool = False) -> None:
        """`callers`: the edge sends datagrams to machines with its clients' own addresses."""
        self._cloud = cloud
        self._callers = callers
        self._clients = clients  # of the edge
        self._groups = NetworkGroups(cloud.run, self._living_groups)
        self._gateway = str(next(cloud.ipv4_network.hosts()))
        self._gateway_ipv6 = str(cloud.ipv6_network.network_address + 1)
        self._mtu = 0
        self._ruled: set[int] = set()
        self._filters = NetworkFilters(cloud.run, cloud.nft_table, self._load_rules)

    def ensure(self) -> None:
        """Make ready for machines: forwarding, the gateway, the rules. Repeat it to repair what others removed.

        Raises HostFailure when the host already routes the cloud's addresses elsewhere.
        """
        with _netlink() as ip:
            self._refuse_overlap(ip)
            self._ensure_gateway(ip)
            self._mtu = _uplink_mtu(ip)
            mark = network_callers.mark_of(self._cloud.id)
            network_callers.ensure(ip, mark) if self._callers else network_callers.remove(ip, mark)
        with self._filters.held():
            self._load_rules()  # before forwarding: no moment in which it is on and the rules are not
        allow_forwarding()

    def intact(self) -> bool:
        """Whether the packet rules are loaded. Without them networks are not kept apart: call `ensure`."""
        return nftables.loaded(self._cloud.nft_table)

    def prepare(self, netns: Path, name: str) -> None:
        """Link the namespace pinned at `netns` to the host, with everything that needs no address.

        The link reaches nothing before `assign`. `name` identifies it from here on.
        """
        host_link = link_name(self._cloud, name)
        if self._is_prepared(netns, name, host_link):
            return
        mtu = self._mtu or self._find_mtu()
        host_netns = os.open(_HOST_NETNS, os.O_RDONLY | os.O_CLOEXEC)
        try:
            inside(netns, lambda: self._make_pair(host_link, mtu, host_netns))
        finally:
            os.close(host_netns)
        write_sysctls({f"net/ipv4/conf/{host_link}/rp_filter": "1"})
        with _netlink() as ip:
            index = socket.if_nametoindex(host_link)
            ip.link("set", index=index, state="up", ifalias=name)
            if _HAS_IPV6:
                ip.addr("replace", index=index, address=GATEWAY_IPV6, prefixlen=64, flags=_NODAD)

    def assign(self, netns: Path, name: str, network: str, ipv4: IPv4Address, ipv6: IPv6Address) -> None:
        """Give a prepared link its addresses and its private network; it is in use when this returns.

        Repeating it with the same values changes nothing. For other values, `release` the name first.
        """
        host_link = link_name(self._cloud, name)
        try:
            index = socket.if_nametoindex(host_link)
        except OSError:
            raise HostFailure(f"network link {host_link} of {name} is gone", hint="start the machine again") from None
        with _netlink() as ip:
            with self._groups.held(network) as group:
                self._rule(group)
                ip.link("set", index=index, group=group)
            ip.route("replace", dst=f"{ipv4}/32", oif=index, prefsrc=self._gateway, scope=253)
            if _HAS_IPV6:
                ip.route("replace", dst=f"{ipv6}/128", oif=index, prefsrc=self._gateway_ipv6)
        inside(netns, lambda: _address(ipv4, ipv6))

    def limit(self, machine_id: str, ipv4: IPv4Address, ipv6: IPv6Address, allowed: Filter) -> None:
        """Let a machine connect as far as `allowed`, from now on; connections there are go on.

        To be called before `assign`, so that it is never reachable without.
        """
        self._filters.set(machine_id, Limited(ipv4, ipv6, allowed))

    def unlimit(self, machine_id: str) -> None:
        """Forget what a machine may do, once its link is gone."""
        self._filters.drop(machine_id)

    def serve_privately(self, addresses: Sequence[PrivateAddress]) -> None:
        """Let machines reach the edge at apps' private addresses, each from its own network, and at no others."""
        with self._filters.held():
            if network_flycast.read(self._cloud.run) == list(addresses):
                return
            network_flycast.write(self._cloud.run, addresses)
            if not network_flycast.replace(self._cloud.nft_table, self._numbered(addresses)):
                self._load_rules()

    def _numbered(self, addresses: Sequence[PrivateAddress]) -> list[tuple[int, PrivateAddress]]:
        found = []
        for address in addresses:
            with self._groups.held(address.network) as group:
                found.append((group, address))
        return found

    def limited(self) -> frozenset[str]:
        """Return the ids of the machines that are limited."""
        return frozenset(self._filters.all())

    def release(self, name: str) -> None:
        """Remove a link with its routes; nothing happens when there is none. The namespace itself stays."""
        with _netlink() as ip:
            _delete_link(ip, link_name(self._cloud, name))

    def destroy(self) -> None:
        """Remove everything of the cloud: links first, so that no machine ever runs without the rules."""
        with _netlink() as ip:
            for link in self._links(ip):
                _delete_link(ip, link.get("ifname"))
            for subnet in self._subnets():
                with contextlib.suppress(NetlinkError):
                    ip.route("del", dst=subnet, type="unreachable", priority=_UNREACHABLE_METRIC)
            network_callers.remove(ip, network_callers.mark_of(self._cloud.id))
        nftables.remove(self._cloud.nft_table)
        self._groups.remove()
        self._filters.remove()
        network_flycast.remove(self._cloud.run)
        network_clients.remove(self._cloud.run)

    # the pieces of ensure

    def _ensure_gateway(self, ip: IPRoute) -> None:
        """Hold the gateway's addresses on a bridge without ports, and answer for addresses nobody has."""
        name = f"{self._cloud.interface_prefix}gw"
        try:
            ip.link("add", ifname=name, kind="bridge")
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise
        index = socket.if_nametoindex(name)
        ip.link("set", index=index, state="up")
        for address in (self._gateway, str(self._cloud.dns_ipv4), str(self._cloud.edge_ipv4)):
            ip.addr("replace", index=index, address=address, prefixlen=32)
        for address in (self._gateway_ipv6, str(self._cloud.dns_ipv6), str(self._cloud.edge_ipv6)) if _HAS_IPV6 else ():
            ip.addr("replace", index=index, address=address, prefixlen=128, flags=_NODAD)
        for subnet in self._subnets():
            ip.route("replace", dst=subnet, type="unreachable", priority=_UNREACHABLE_METRIC)

    def _refuse_overlap(self, ip: IPRoute) -> None:
        ours = {link["index"] for link in self._links(ip)}
        for subnet, device in _ipv4_routes(ip):
            if subnet.prefixlen and subnet.subnet_of(self._cloud.ipv4_network) and device not in ours | {0}:
                raise HostFailure(
                    f"the host already routes {subnet}, which lies in the cloud's network {self._cloud.ipv4_network}",
                    hint="create the cloud with another private network",
                )

    def _load_rules(self) -> None:
        with network_clients.held(self._cloud.run):
            self._load()

    def _load(self) -> None:
        own = {("tcp", port) for port in (self._cloud.http_port, self._cloud.https_port) if port}
        private = self._numbered(network_flycast.read(self._cloud.run))
        numbers = self._groups.numbers()
        nftables.load(
            nftables.Rules(
                table=self._cloud.nft_table,
                prefix=self._cloud.interface_prefix,
                ipv4=self._cloud.ipv4_network,
                ipv6=self._cloud.ipv6_network,
                groups=tuple(n for n in numbers if n > nftables.PREPARED_GROUPS),
                dns=(self._cloud.dns_ipv4, self._cloud.dns_ipv6),
                resolvers=resolvers(),
                limited=tuple(self._filters.all().values()),
                private=tuple(private),
                edge=(self._cloud.edge_ipv4, self._cloud.edge_ipv6, FLYCAST_PORT),
                public=network_clients.read(self._cloud.run) | own,
                clients=self._clients,
                callers=network_callers.mark_of(self._cloud.id) if self._callers else 0,
            )
        )
        self._ruled = set(numbers)

    def _rule(self, group: int) -> None:
        """Make sure that the rules know the group; only the first machine of a late network costs anything."""
        if group > nftables.PREPARED_GROUPS and group not in self._ruled:
            nftables.add_group(self._cloud.nft_table, group)
            self._ruled.add(group)

    def _subnets(self) -> tuple[str, ...]:
        subnets = (str(self._cloud.ipv4_network), str(self._cloud.ipv6_network))
        return subnets if _HAS_IPV6 else subnets[:1]

    # the pieces of prepare

    def _is_prepared(self, netns: Path, name: str, host_link: str) -> bool:
        """Whether the pair is whole and ends in `netns`; what remains of a broken one is removed."""
        try:
            index = socket.if_nametoindex(host_link)
        except OSError:
            return False
        with _netlink() as ip:
            found = ip.get_links(index)
            alias = found[0].get("ifalias") if found else None
            if alias not in (None, "", name):
                raise HostFailure(f"the network links of {name} and {alias} have the same name", hint="try again")
            if alias == name and inside(netns, lambda: _peer_index() == index):
                return True
            _delete_link(ip, host_link)
        return False

    def _make_pair(self, host_link: str, mtu: int, host_netns: int) -> None:
        """Make both ends; runs inside the machine's namespace."""
        write_sysctls(MACHINE_SYSCTLS)
        with _netlink() as ip:
            with contextlib.suppress(OSError):
                ip.link("del", index=socket.if_nametoindex(GUEST_LINK))  # its other end was removed or is stale
            ip.link("set", index=1, state="up")
            peer = {"ifname": host_link, "net_ns_fd": host_netns, "mtu": mtu}
            ip.link("add", ifname=GUEST_LINK, kind="veth", peer=peer, mtu=mtu, state="up")
            index = socket.if_nametoindex(GUEST_LINK)
            ip.route("replace", dst="default", gateway=self._gateway, oif=index, flags=["onlink"])
            if _HAS_IPV6:
                ip.route("replace", family=socket.AF_INET6, dst="default", gateway=GATEWAY_IPV6, oif=index,
                         flags=["onlink"])  # fmt: skip

    def _find_mtu(self) -> int:
        with _netlink() as ip:
            self._mtu = _uplink_mtu(ip)
        return self._mtu

    # what is there

    def _links(self, ip: IPRoute) -> list[Any]:
        return [link for link in ip.get_links() if str(link.get("ifname")).startswith(self._cloud.interface_prefix)]

    def _living_groups(self) -> frozenset[int]:
        with _netlink() as ip:
            return frozenset(int(link.get("group") or 0) for link in self._links(ip)) - {0}


@contextlib.contextmanager
def _netlink() -> Iterator[IPRoute]:
    """Open rtnetlink in the thread's namespace; its errors become HostFailure."""
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        raise HostFailure(f"the kernel refused a change of the network: {error.args[-1]}") from error


def _address(ipv4: IPv4Address, ipv6: IPv6Address) -> None:
    """Set the machine's addresses; runs inside its namespace."""
    with _netlink() as ip:
        index = socket.if_nametoindex(GUEST_LINK)
        ip.addr("replace", index=index, address=str(ipv4), prefixlen=32)
        if _HAS_IPV6:
            ip.addr("replace", index=index, address=str(ipv6), prefixlen=128, flags=_NODAD)


def _peer_index() -> int:
    """Return the host's index of the machine's link, 0 when there is none; runs inside the namespace."""
    try:
        index = socket.if_nametoindex(GUEST_LINK)
    except OSError:
        return 0
    with _netlink() as ip:
        return int(ip.get_links(index)[0].get("link") or 0)


def _delete_link(ip: IPRoute, name: str) -> None:
    try:
        ip.link("del", index=socket.if_nametoindex(name))
    except OSError:  # there is none
        return
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise


def _ipv4_routes(ip: IPRoute) -> Iterator[tuple[IPv4Network, int]]:
    """Yield (destination, index of the link or 0) of the host's main table."""
    for route in ip.get_routes(family=socket.AF_INET, table=254):
        network = ip_network((route.get("dst") or 0, route["dst_len"]), strict=False)
        assert isinstance(network, IPv4Network)
        yield network, int(route.get("oif") or 0)


def _uplink_mtu(ip: IPRoute) -> int:
    """Return the smallest MTU among the links of default routes, so that machines need not discover it."""
    indexes = {route.get("oif") for route in ip.get_default_routes()} - {None}
    mtus = [int(ip.get_links(index)[0].get("mtu") or 1500) for index in indexes]
    return min([1500, *mtus])
