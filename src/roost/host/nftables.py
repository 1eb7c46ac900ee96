"""The cloud's packet rules: their text is pure, loading them is one `nft -f -`.

It owns the nftables table named after the cloud and nothing else. Invariants, for every packet of a
machine: its source address is the machine's own (reverse path, by interface); it reaches machines of
the same private network only; it reaches neither the host nor a cloud metadata service. No rule names
a single machine: rules go by the cloud's interface prefix and by the *link group* of the interfaces,
which is the number of the private network, and network policies by sets of addresses (`network_filters`).
So starting a machine changes no rule.

A table is replaced in one transaction: there is never a moment without it, and loading twice is the
same as once. A load that fails leaves the former table in place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from roost.host import network_callers, network_clients, network_flycast, nft
from roost.host.contract import PrivateAddress
from roost.host.network_clients import NO_LIMITS, ClientLimits
from roost.host.network_filters import Limited, render_chain, render_sets

PREPARED_GROUPS = 256  # private networks that need no rule of their own: their elements are always loaded
MAX_CONNECTIONS = 8192  # tracked at once to the outside per machine, so that none can fill the host's table
METADATA_IPV4 = ("169.254.0.0/16", "100.100.100.200/32")  # link-local (AWS, GCP, Azure, ...), Alibaba
METADATA_IPV6 = ("fd00:ec2::/32", "fd20:ce::254/128", "fd00:c1::/32", "fd00:42::42/128")  # AWS, GCP, Oracle, Scaleway
AZURE_WIRE_SERVER = "168.63.129.16"  # its port 53 is the resolver of Azure's virtual machines


@dataclass(frozen=True, slots=True)
class Rules:
    """What the rules of one cloud depend on."""

    table: str
    prefix: str  # of the host ends of all machines' links, and of no other link
    ipv4: IPv4Network
    ipv6: IPv6Network
    groups: tuple[int, ...] = ()  # numbers of private networks beyond PREPARED_GROUPS
    dns: tuple[IPv4Address, IPv6Address] | None = None  # the host's own addresses at which machines may ask for names
    resolvers: tuple[str, ...] = ()  # of machines: reachable on port 53 even where metadata services live
    limited: tuple[Limited, ...] = ()  # machines that network policies select
    private: tuple[tuple[int, PrivateAddress], ...] = ()  # private addresses of apps, with their networks' numbers
    edge: tuple[IPv4Address, IPv6Address, int] | None = None  # where the edge serves them
    public: frozenset[tuple[str, int]] = frozenset()  # the edge's ports on the host's own addresses
    clients: ClientLimits = NO_LIMITS  # what one client address may take of them
    callers: int = 0  # mark of datagrams that the edge sends with clients' addresses; 0: it does not


def render(rules: Rules) -> str:
    """Return the nft script that replaces the cloud's table by `rules`."""
    machine = f'"{rules.prefix}*"'
    groups = ", ".join(f"{n} . {n}" for n in (*range(1, PREPARED_GROUPS + 1), *sorted(set(rules.groups))))
    return f"""\
table inet {rules.table} {{
}}
delete table inet {rules.table}
table inet {rules.table} {{
  set networks {{
    type devgroup . devgroup
    elements = {{ {groups} }}
  }}
  set connections4 {{
    type ipv4_addr
    size 65535
    flags dynamic
  }}
  set connections6 {{
    type ipv6_addr
    size 65535
    flags dynamic
  }}
{network_clients.render_sets(rules.public)}{render_sets(rules.limited)}{network_flycast.render_sets(rules.private)}\
{network_flycast.render_chain(machine, rules.edge)}{network_callers.render_chains(machine, rules.ipv4, rules.callers)}\
  chain own_address_only {{
    type filter hook prerouting priority raw; policy accept;
    iifname {machine} fib saddr . iif oif missing drop
  }}
  chain into_host {{
    type filter hook input priority filter - 5; policy accept;
    iifname {machine} jump machine_to_host
{network_clients.render_input(rules.clients)}  }}
{network_clients.render_chain(rules.clients)}  chain machine_to_host {{
    ct state established,related accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
{_dns_rules(rules.dns)}{network_flycast.render_input(rules.edge)}\
    reject with icmpx type admin-prohibited
  }}
  chain through_host {{
    type filter hook forward priority filter - 5; policy accept;
    oifname {machine} jump to_machine
    iifname {machine} jump machine_to_outside
  }}
{render_chain()}  chain to_machine {{
    ct state established,related accept
    iifname {machine} jump policies
    iifname {machine} meta iifgroup . meta oifgroup @networks accept
    iifname {machine} reject with icmpx type host-unreachable
    drop
  }}
  chain machine_to_outside {{
    ct state established,related accept
    ct state invalid drop
{_resolver_rules(rules.resolvers)}\
    ip daddr {{ {", ".join(METADATA_IPV4)} }} reject with icmpx type admin-prohibited
    ip daddr {AZURE_WIRE_SERVER} tcp dport != 53 reject with icmpx type admin-prohibited
    ip6 daddr {{ {", ".join(METADATA_IPV6)} }} reject with icmpx type admin-prohibited
    ip daddr {rules.ipv4} reject with icmpx type host-unreachable
    ip6 daddr {{ fdaa::/16, fe80::/10 }} reject with icmpx type host-unreachable
    jump policies
    ct state new add @connections4 {{ ip saddr ct count over {MAX_CONNECTIONS} }} drop
    ct state new add @connections6 {{ ip6 saddr ct count over {MAX_CONNECTIONS} }} drop
  }}
  chain outbound_nat {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {rules.ipv4} oifname != {machine} masquerade
    ip6 saddr {rules.ipv6} oifname != {machine} masquerade
  }}
}}
"""


def _dns_rules(addresses: tuple[IPv4Address, IPv6Address] | None) -> str:
    """Let machines ask the cloud's DNS server; the only thing on the host that they reach."""
    return "".join(
        f"    {family} daddr {address} meta l4proto {{ tcp, udp }} th dport 53 accept\n"
        for family, address in zip(("ip", "ip6"), addresses or (), strict=False)
    )


def _resolver_rules(resolvers: Iterable[str]) -> str:
    """Let machines ask a resolver that lives where metadata services live (GCP's, AWS's link-local one)."""
    refused = [ip_network(text) for text in (*METADATA_IPV4, *METADATA_IPV6)]
    lines = []
    for resolver in resolvers:
        address: IPv4Address | IPv6Address = ip_address(resolver)
        if any(address.version == net.version and address in net for net in refused):
            family = "ip" if address.version == 4 else "ip6"
            lines.append(f"    {family} daddr {address} meta l4proto {{ tcp, udp }} th dport 53 accept\n")
    return "".join(lines)


def load(rules: Rules) -> None:
    """Put `rules` in place of what the cloud's table held. Raises HostFailure and changes nothing if refused."""
    nft.apply(render(rules))


def add_group(table: str, group: int) -> None:
    """Let machines of one more private network reach each other. Raises HostFailure when the table is missing."""
    script = f"add element inet {table} networks {{ {group} . {group} }}\n"
    nft.apply(script)


def loaded(table: str) -> bool:
    """Whether the table is there: someone may have flushed the host's whole ruleset."""
    return nft.has_chain(table, "to_machine")


def remove(table: str) -> None:
    """Remove the cloud's table; nothing happens when there is none."""
    script = f"table inet {table} {{\n}}\ndelete table inet {table}\n"
    nft.apply(script)
