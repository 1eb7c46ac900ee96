"""Private networks for clouds that tests make by hand: never one that another cloud on this host has."""

from __future__ import annotations

from ipaddress import IPv4Network

from roost.daemon.private_network import choose_network, networks_in_use


def free_network(cloud_id: str) -> IPv4Network:
    """Return a /16 in which the host reaches nothing yet."""
    return choose_network(cloud_id, networks_in_use())
