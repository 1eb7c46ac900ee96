"""Private addresses of apps on this host: which networks reach which, as elements of two nftables sets.

An app's private address is on no interface. A machine of the app's network that connects to it is led to the edge's
own address instead (DNAT), where Envoy learns the address that was meant; the packets of all others meet the rule that
keeps machines off the host, or no route. So it is the source's link that decides who gets in, and nothing in the
request. It owns the file `flycast.json` in the cloud's run directory: control says what is in it, and says it again
whenever roostd starts. Order: the file, then the sets in one transaction; loading the rules anew repairs the rest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from roost.host import nft
from roost.host.contract import PrivateAddress

FILE = "flycast.json"
SETS = ("flycast4", "flycast6")


def render_sets(elements: Sequence[tuple[int, PrivateAddress]]) -> str:
    """Return the sets' part of the cloud's table; each address with the link group of its network."""
    text = ""
    for name, found in zip(SETS, _by_family(elements), strict=True):
        kind = "ipv4_addr" if name.endswith("4") else "ipv6_addr"
        filled = f"    elements = {{ {', '.join(found)} }}\n" if found else ""
        text += f"  set {name} {{\n    type devgroup . {kind} . inet_service\n{filled}  }}\n"
    return text


def render_chain(machine: str, edge: tuple[IPv4Address, IPv6Address, int] | None) -> str:
    """Return the chain that leads connections to private addresses to the edge."""
    text = "  chain flycast {\n    type nat hook prerouting priority dstnat; policy accept;\n"
    if edge is not None:
        ipv4, ipv6, port = edge
        text += f"    iifname {machine} meta iifgroup . ip daddr . tcp dport @flycast4 dnat ip to {ipv4}:{port}\n"
        text += f"    iifname {machine} meta iifgroup . ip6 daddr . tcp dport @flycast6 dnat ip6 to [{ipv6}]:{port}\n"
    return text + "  }\n"


def render_input(edge: tuple[IPv4Address, IPv6Address, int] | None) -> str:
    """Return the rules that let in what was led to the edge, and nothing that came to its address by itself."""
    if edge is None:
        return ""
    ipv4, ipv6, port = edge
    return "".join(
        f"    {family} daddr {address} tcp dport {port} ct status dnat accept\n"
        for family, address in (("ip", ipv4), ("ip6", ipv6))
    )


def replace(table: str, elements: Sequence[tuple[int, PrivateAddress]]) -> bool:
    """Put these elements in place of those there are, in one transaction; False if the table lacks the sets."""
    script = "".join(f"flush set inet {table} {name}\n" for name in SETS)
    for name, found in zip(SETS, _by_family(elements), strict=True):
        if found:
            script += f"add element inet {table} {name} {{ {', '.join(found)} }}\n"
    return nft.applied(script)


def read(directory: Path) -> list[PrivateAddress]:
    """Return what was written last; nothing when there is none, or it can't be read: control says it again."""
    try:
        data = json.loads((directory / FILE).read_text())
        return [
            PrivateAddress(str(e["network"]), str(e["ipv4"]), str(e["ipv6"]), tuple(int(p) for p in e["ports"]))
            for e in data
        ]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def write(directory: Path, addresses: Sequence[PrivateAddress]) -> None:
    """Write down what is served."""
    fresh = directory / f"{FILE}.new"
    entries = [{"network": a.network, "ipv4": a.ipv4, "ipv6": a.ipv6, "ports": list(a.ports)} for a in addresses]
    fresh.write_text(json.dumps(entries))
    fresh.replace(directory / FILE)


def remove(directory: Path) -> None:
    """Forget everything; for the end of the cloud."""
    for name in (FILE, f"{FILE}.new"):
        (directory / name).unlink(missing_ok=True)


def _by_family(elements: Sequence[tuple[int, PrivateAddress]]) -> tuple[list[str], list[str]]:
    pairs = [(group, address, port) for group, address in elements for port in address.ports]
    return (
        sorted({f"{group} . {a.ipv4} . {port}" for group, a, port in pairs if a.ipv4}),
        sorted({f"{group} . {a.ipv6} . {port}" for group, a, port in pairs}),
    )
