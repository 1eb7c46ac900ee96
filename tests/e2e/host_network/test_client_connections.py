"""How many connections one client address may have open to the edge: counted by the kernel."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace

from tests.e2e.host_network.conftest import Place, World, listen, port_of

from roost.host.network import Network
from roost.host.network_namespace import inside


def test_a_client_address_has_so_many_connections_and_gets_them_back(cloud_world: World, outside: Place) -> None:
    with listen() as edge, listen() as other:
        network = Network(replace(cloud_world.cloud, http_port=port_of(edge)), connections=3)
        network.ensure()

        def opened(number: int, address: str, port: int) -> list[socket.socket]:
            return [socket.create_connection((address, port), 3) for _ in range(number)]

        def refusal(address: str, port: int) -> str:
            try:
                opened(1, address, port)[0].close()
            except OSError as error:
                return os.strerror(error.errno or 0)
            return ""

        here = str(outside.ipv4 - 1)
        held = inside(outside.netns, lambda: opened(3, here, port_of(edge)))
        try:
            assert inside(outside.netns, lambda: refusal(here, port_of(edge))) == "Connection refused"
            assert inside(outside.netns, lambda: refusal(here, port_of(other))) == "", "other ports are not the edge's"
            for link in opened(8, "127.0.0.1", port_of(edge)):  # loopback has no limit
                link.close()
        finally:
            for link in held:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset: it is gone at once
                link.close()
        deadline = time.monotonic() + 5.0
        while inside(outside.netns, lambda: refusal(here, port_of(edge))):
            assert time.monotonic() < deadline, "connections that ended count no more"
            time.sleep(0.05)
