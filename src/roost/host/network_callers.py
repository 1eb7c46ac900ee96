"""Datagrams that the edge sends to machines with its clients' own addresses: what machines answer comes back to it.

A machine answers to the client's address, which is not the host's, so the answer would be forwarded past the edge. The
kernel knows the answers by connection tracking: what the edge sends with an address that is none of the host's gets the
cloud's mark, and answers to that are delivered on the host itself, where the edge's socket has the address. What a
machine sends by itself, from the same port too, goes its way. It owns a routing rule and a routing table with the
mark's number, which are there while an operator wants them, and repaired like the packet rules.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from ipaddress import IPv4Network
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

_KIND = 0x52000000
_PRIORITY = 5200


def mark_of(cloud_id: str) -> int:
    """Return the cloud's mark, which is also the number of its routing table."""
    return _KIND | int(cloud_id[:6], 16)


def render_chains(machine: str, network: IPv4Network, mark: int) -> str:
    """Return the chains that mark what the edge sends for clients, and the answers to that; `mark` 0: none.

    Nobody outside has an address of the machines' `network`: who forges one would be taken for a machine.
    """
    if not mark:
        return ""
    return f"""\
  chain sent_for_clients {{
    type route hook output priority mangle; policy accept;
    oifname {machine} meta l4proto udp fib saddr type != local ct mark set {mark:#x}
  }}
  chain answers_to_clients {{
    type filter hook prerouting priority mangle; policy accept;
    iifname != "lo" iifname != {machine} ip saddr {network} drop
    iifname {machine} meta l4proto udp ct direction reply ct mark {mark:#x} meta mark set {mark:#x}
  }}
"""


def ensure(ip: Any, mark: int) -> None:
    """Have packets with the mark delivered here. `ip` is rtnetlink; twice is once."""
    table = {"family": socket.AF_INET, "table": mark}
    ip.route("replace", dst="0.0.0.0/0", type="local", scope=254, oif=socket.if_nametoindex("lo"), **table)
    try:
        ip.rule("add", fwmark=mark, priority=_PRIORITY, **table)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def remove(ip: Any, mark: int) -> None:
    """Take the rule and the table away; nothing happens when there are none."""
    with contextlib.suppress(NetlinkError):
        ip.rule("del", family=socket.AF_INET, table=mark, fwmark=mark, priority=_PRIORITY)
    with contextlib.suppress(NetlinkError):
        ip.flush_routes(family=socket.AF_INET, table=mark)
