"""Where machines are in the address and uid space of a host: everything follows from the slot."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from roost.model.cloud import Cloud

FIRST = 256  # the addresses below belong to the host: the gateway is the network's first
BUILD_SLOTS = range(60_000, 60_256)  # build machines come and go: they are not rows in the store
MAX_SLOT = BUILD_SLOTS.start  # machines have the slots 1 .. MAX_SLOT - 1


def ipv4_of(cloud: Cloud, slot: int) -> IPv4Address:
    """Return the private IPv4 address of a slot."""
    return cloud.ipv4_network.network_address + FIRST + slot


def ipv6_of(cloud: Cloud, slot: int) -> IPv6Address:
    """Return the 6PN address of a slot."""
    return cloud.ipv6_network.network_address + (FIRST + slot)


def flycast_ipv4(cloud: Cloud, number: int) -> IPv4Address | None:
    """Return the private address of the app with this number, None for an app beyond those that have one."""
    last = int(cloud.ipv4_network.broadcast_address) - 1
    address = int(cloud.ipv4_network.network_address) + FIRST + BUILD_SLOTS.stop + number
    return IPv4Address(address) if number > 0 and address <= last else None


def flycast_ipv6(cloud: Cloud, number: int) -> IPv6Address:
    """Return the private 6PN address of the app with this number."""
    return cloud.ipv6_network.network_address + ((1 << 64) + number)


def slot_of(cloud: Cloud, address: str) -> int:
    """Return the slot whose private address, IPv4 or 6PN, this is; 0 when it is nobody's."""
    try:
        given = ip_address(address)
    except ValueError:
        return 0
    network = cloud.ipv4_network if given.version == 4 else cloud.ipv6_network
    slot = int(given) - int(network.network_address) - FIRST
    return slot if 0 < slot < MAX_SLOT else 0
