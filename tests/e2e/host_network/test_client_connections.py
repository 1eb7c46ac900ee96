"""How many connections one client address may have open to the edge, and how fast: counted by the kernel."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.e2e.host_network.conftest import Place, World, listen, port_of

from roost.host import network_clients
from roost.host.network import Network
from roost.host.network_clients import ClientLimits
from roost.host.network_namespace import inside


def opened(number: int, address: str, port: int) -> list[socket.socket]:
    return [socket.create_connection((address, port), 3) for _ in range(number)]


def refusal(address: str, port: int) -> str:
    try:
        opened(1, address, port)[0].close()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""


def reset(links: list[socket.socket]) -> None:
    for link in links:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset: it is gone at once
        link.close()


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 5.0
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_client_address_has_so_many_connections_and_gets_them_back(cloud_world: World, outside: Place) -> None:
    with listen() as edge, listen() as other, listen() as own:
        cloud = replace(cloud_world.cloud, http_port=port_of(edge))
        network = Network(cloud, clients=ClientLimits(connections=3))
        network.ensure()
        here = str(outside.ipv4 - 1)
        held = inside(outside.netns, lambda: opened(3, here, port_of(edge)))
        try:
            assert inside(outside.netns, lambda: refusal(here, port_of(edge))) == "Connection refused"
            assert inside(outside.netns, lambda: refusal(here, port_of(other))) == "", "other ports are not the edge's"
            assert inside(outside.netns, lambda: refusal(here, port_of(own))) == "", "and this one is not yet"
            ports = {("tcp", port_of(edge)), ("tcp", port_of(own))}
            network_clients.serve(cloud.run, cloud.nft_table, ports)
            assert inside(outside.netns, lambda: refusal(here, port_of(own))) == "Connection refused", (
                "an app's own port"
            )
            network.ensure()  # what was open before the rules were loaded anew is not known to them
            held += inside(outside.netns, lambda: opened(3, here, port_of(own)))
            assert inside(outside.netns, lambda: refusal(here, port_of(own))) == "Connection refused", "still known"
            network_clients.serve(cloud.run, cloud.nft_table, ports - {("tcp", port_of(own))})
            assert inside(outside.netns, lambda: refusal(here, port_of(own))) == "", "the app gave it back"
            for link in opened(8, "127.0.0.1", port_of(edge)):  # loopback has no limit
                link.close()
        finally:
            reset(held)
        until(lambda: not inside(outside.netns, lambda: refusal(here, port_of(edge))), "those that ended count no more")


def test_datagrams_of_an_address_come_from_so_many_ports(cloud_world: World, outside: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as edge:
        edge.bind(("0.0.0.0", 0))
        edge.settimeout(3)
        port, here = edge.getsockname()[1], str(outside.ipv4 - 1)
        Network(cloud_world.cloud, clients=ClientLimits(connections=3)).ensure()
        network_clients.serve(cloud_world.cloud.run, cloud_world.cloud.nft_table, {("udp", port)})

        def send() -> list[socket.socket]:
            links = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
            for number, link in enumerate(links):
                link.sendto(b"%d" % number, (here, port))
            return links

        links = inside(outside.netns, send)
        try:
            for number in range(3):
                data, sender = edge.recvfrom(9)
                assert data == b"%d" % number
                edge.sendto(b"well", sender)
            edge.settimeout(0.2)
            with pytest.raises(TimeoutError):
                edge.recv(9)  # more than it may
            links[0].sendto(b"again", (here, port))
            assert edge.recv(9) == b"again", "those that are known go on"
        finally:
            for link in links:
                link.close()


def test_new_connections_above_the_rate_come_later(cloud_world: World, outside: Place) -> None:
    """What is too fast is not refused: the client's kernel sends it again after a second."""
    with listen() as edge:
        cloud = replace(cloud_world.cloud, http_port=port_of(edge))
        Network(cloud, clients=ClientLimits(arrivals=20)).ensure()
        here = str(outside.ipv4 - 1)

        def burst() -> list[float]:
            links, times, began = [socket.socket() for _ in range(30)], [], time.monotonic()
            for link in links:
                link.setblocking(False)
                link.connect_ex((here, port_of(edge)))
            for link in links:
                assert select.select([], [link], [], 5)[1]
                times.append(time.monotonic() - began)
            reset(links)
            return times

        times = inside(outside.netns, burst)
        assert times[19] < 0.5, "as many at once as it may have in a second"
        assert 0.9 < times[-1] < 4.0, "the others follow"
        Network(cloud, clients=ClientLimits(arrivals=20, trusted=(f"{outside.ipv4}/32", "192.0.2.0/24"))).ensure()
        assert inside(outside.netns, burst)[-1] < 0.5, "a proxy that the operator trusts brings those of many"
