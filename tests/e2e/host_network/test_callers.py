"""`[edge] udp_client_address`: machines see who sends a datagram, by a real Envoy and the cloud's real rules."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from tests.e2e.edge.edge_harness import Bench, bench, envoys_of, free_port, spawn
from tests.e2e.host_network.conftest import Place, World, listen, port_of

from roost.edge.confinement import is_raw
from roost.edge.contract import Endpoint, PublicPort, WakeResult
from roost.edge.edge import EnvoyEdge
from roost.host import network_callers
from roost.host.network import Network
from roost.host.network_namespace import inside


def marked(mark: int) -> int:
    with IPRoute() as ip:
        return len(ip.get_rules(table=mark)) + len(ip.get_routes(table=mark))


def with_address(address: str) -> socket.socket:
    with IPRoute() as ip:
        ip.addr("add", index=socket.if_nametoindex("eth0"), address=address, prefixlen=32)
    return listen(kind=socket.SOCK_DGRAM, address=address)


def test_a_machine_sees_who_sends_a_datagram(cloud_world: World, outside: Place, tmp_path: Path) -> None:
    cloud, mark = cloud_world.cloud, network_callers.mark_of(cloud_world.cloud.id)
    for _ in range(2):
        Network(cloud, callers=True).ensure()
        assert marked(mark) == 2
    machine = cloud_world.machine("machine", "acme-default")
    here, there = str(outside.ipv4 - 1), str(outside.ipv4)
    app, on_host = machine.listen(kind=socket.SOCK_DGRAM), listen(kind=socket.SOCK_DGRAM, address=here)
    client = inside(outside.netns, lambda: listen(kind=socket.SOCK_DGRAM))
    forged = inside(outside.netns, lambda: with_address(str(machine.ipv4 + 1)))
    endpoint = Endpoint("m", str(machine.ipv4), port_of(app))
    try:
        asyncio.run(talk(tmp_path / "edge", endpoint, app, client, on_host, forged, here, there))
    finally:
        for each in (app, on_host, client, forged):
            each.close()
    Network(cloud).ensure()
    assert marked(mark) == 0, "as it was"


async def received(by: socket.socket) -> Any:
    return await asyncio.to_thread(by.recvfrom, 99)


async def talk(
    home: Path, endpoint: Endpoint, app: socket.socket, client: socket.socket, on_host: socket.socket,
    forged: socket.socket, here: str, there: str,
) -> None:  # fmt: skip
    port = free_port()
    async with bench(home, udp_as_client=True) as it:
        assert [is_raw(pid) for pid in envoys_of(it.cloud)] == [True]

        async def wake(_app: str) -> WakeResult:
            await it.edge.put_ports("dns", [PublicPort("dns", port, "udp", "acme", (endpoint,))])
            return WakeResult(endpoint=endpoint, app="dns")

        it.waker.on_port = wake
        await it.edge.put_ports("dns", [PublicPort("dns", port, "udp", "acme")])
        client.sendto(b"first", (here, port))
        assert (await received(app))[0] == b"first", "what wakes it comes by roostd"
        client.sendto(b"second", (here, port))
        data, sender = await received(app)
        assert (data, sender[0]) == (b"second", there)
        app.sendto(b"well", sender)
        assert await received(client) == (b"well", (here, port))

        # what the machine sends by itself, from the same port, goes to who it is for, by the outbound NAT
        app.sendto(b"hello", (there, port_of(client)))
        data, sender = await received(client)
        assert (data, sender[0]) == (b"hello", here)
        assert sender[1] != port

        # nobody outside is taken for a machine
        forged.sendto(b"forged", (here, port))
        client.sendto(b"not forged", (here, port))
        assert (await received(app))[0] == b"not forged"

        # a client on the server itself, by the server's own address
        on_host.sendto(b"third", (here, port))
        data, sender = await received(app)
        assert (data, sender[0]) == (b"third", here)
        app.sendto(b"well, too", sender)
        assert (await received(on_host))[0] == b"well, too"
        await without(it, wake)
        client.sendto(b"fourth", (here, port))
        data, sender = await received(app)
        assert data == b"fourth"
        assert sender[0] != there


async def without(it: Bench, wake: Any) -> None:
    """The next roostd has not got the setting: Envoy does not keep the capability."""
    await it.edge.stop(envoy_too=False)
    it.edge = EnvoyEdge(it.cloud, it.waker, spawn)
    await it.edge.start()
    assert [is_raw(pid) for pid in envoys_of(it.cloud)] == [False]
    await wake("dns")
