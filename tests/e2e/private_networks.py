"""Private networks for clouds that tests make by hand: never one that another cloud on this host has."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from roost.daemon.cloud_file import choose_network, parse_routes


def free_network(cloud_id: str) -> IPv4Network:
    """Return a /16 that the host does not route yet."""
    return choose_network(cloud_id, parse_routes(Path("/proc/net/route").read_text()))
