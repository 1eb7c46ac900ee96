"""What one client address may take of the edge: the kernel counts its connections and how fast new ones come.

New ones above the rate are dropped, so the client's own kernel tries again a second later and later still; those above
the number that may be open are reset, or by UDP dropped. It is by the ports that the edge has now, its own and those of
apps, as elements of an nftables set, so that no other program's connections are counted. It owns the file
`edge-ports.json` in the cloud's run directory: the edge says what is in it, and says it again whenever roostd starts.
Order: the file, then the set in one transaction, under a lock that loading the rules anew takes too.

Loopback is not counted: a tunnel on this server brings the connections of many. A source by UDP may be forged: whoever
does that can use up what an address may have by UDP, and nothing of what it may have by TCP.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from roost.host import file_lock, nft

FILE = "edge-ports.json"
_LOCK = "edge-ports.lock"
_SET = "edge_ports"
Port = tuple[str, int]  # "tcp" or "udp", and the port


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Of one client address; 0: no limit."""

    connections: int = 0  # open at once, by TCP and by UDP each
    arrivals: int = 0  # new ones by TCP a second, and so many in the same instant
    trusted: tuple[str, ...] = ()  # networks of IPv4 that have none of these limits: they bring those of many


NO_LIMITS = ClientLimits()


def render_sets(ports: Collection[Port]) -> str:
    """Return the sets' part of the cloud's table."""
    text = f"  set {_SET} {{\n    type inet_proto . inet_service\n{_filled(ports)}  }}\n"
    for name, more in (("clients4", ""), ("datagram_clients4", ""), ("arrivals4", ",timeout\n    timeout 1m")):
        text += f"  set {name} {{\n    type ipv4_addr\n    size 65535\n    flags dynamic{more}\n  }}\n"
    return text


def render_chain(limits: ClientLimits) -> str:
    """Return the chain that new connections to the edge pass. The edge's ports take IPv4."""
    text = "  chain from_client {\n"
    if limits.arrivals:
        rate = f"limit rate over {limits.arrivals}/second burst {limits.arrivals} packets"
        text += f"    meta l4proto tcp update @arrivals4 {{ ip saddr {rate} }} drop\n"
    if limits.connections:
        count = f"ip saddr ct count over {limits.connections}"
        text += f"    meta l4proto tcp add @clients4 {{ {count} }} reject with tcp reset\n"
        text += f"    meta l4proto udp add @datagram_clients4 {{ {count} }} drop\n"
    return text + "  }\n"


def render_input(limits: ClientLimits) -> str:
    """Return the rule that leads new connections to the chain."""
    if not limits.connections and not limits.arrivals:
        return ""
    others = f"ip saddr != {{ {', '.join(limits.trusted)} }} " if limits.trusted else ""
    return f'    iifname != "lo" {others}ct state new meta l4proto . th dport @{_SET} jump from_client\n'


def serve(directory: Path, table: str, ports: Collection[Port]) -> None:
    """Have these ports, and no others, guarded from now on. A table that is not there gets them when it is loaded."""
    with held(directory):
        if read(directory) == frozenset(ports):
            return
        fresh = directory / f"{FILE}.new"
        fresh.write_text(json.dumps(sorted(ports)))
        fresh.replace(directory / FILE)
        script = f"flush set inet {table} {_SET}\n"
        if ports:
            script += f"add element inet {table} {_SET} {{ {_elements(ports)} }}\n"
        nft.applied(script)  # refused without the table


def read(directory: Path) -> frozenset[Port]:
    """Return what was written last; nothing when there is none, or it can't be read: the edge says it again."""
    try:
        return frozenset((str(kind), int(port)) for kind, port in json.loads((directory / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return frozenset()


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Let nobody else change the ports, or load the rules, meanwhile."""
    with file_lock.held(directory / _LOCK):
        yield


def remove(directory: Path) -> None:
    """Forget everything; for the end of the cloud."""
    for name in (FILE, f"{FILE}.new", _LOCK):
        (directory / name).unlink(missing_ok=True)


def _filled(ports: Collection[Port]) -> str:
    return f"    elements = {{ {_elements(ports)} }}\n" if ports else ""


def _elements(ports: Collection[Port]) -> str:
    return ", ".join(f"{kind} . {port}" for kind, port in sorted(ports))
