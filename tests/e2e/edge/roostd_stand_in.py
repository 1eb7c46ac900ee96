"""A process with nothing but an edge, to be killed by a test. Arguments: the cloud as JSON, an app's port."""

from __future__ import annotations

import asyncio
import json
import sys
from ipaddress import IPv4Network
from pathlib import Path

from tests.e2e.edge.edge_harness import TestWaker, spawn

from roost.edge.contract import Endpoint, Route
from roost.edge.edge import EnvoyEdge
from roost.model.cloud import Cloud


async def main() -> None:
    told = json.loads(sys.argv[1])
    cloud = Cloud(told["id"], Path(told["home"]), told["http"], told["api"], "localhost", IPv4Network("10.77.0.0/16"))
    edge = EnvoyEdge(cloud, TestWaker(), spawn)
    await edge.start()
    await edge.put(Route("hello", ("hello.localhost",), (Endpoint("m", "127.0.0.1", int(sys.argv[2])),)))
    print("ready", flush=True)
    await asyncio.sleep(60)


asyncio.run(main())
