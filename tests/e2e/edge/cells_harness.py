"""What tests of an edge with several cells share."""

from __future__ import annotations

from tests.e2e.edge.edge_harness import Bench, spawn

from roost.edge.contract import Route
from roost.edge.edge import EnvoyEdge
from roost.edge.options import EdgeOptions
from roost.plan.cells import common_cells, shard

CELLS = 3


def org_in(first: str, second: str) -> str:
    """Return an org whose shard is these two cells."""
    return next(org for n in range(1000) if shard(org := f"org{n}", common_cells(CELLS)) == (first, second))


def cell_status(at: Bench, name: str) -> dict[str, object]:
    cells = at.edge.status().detail["cells"]
    assert isinstance(cells, list)
    return next(cell for cell in cells if cell["name"] == name)


def pid_of(at: Bench, name: str) -> int:
    return int(str(cell_status(at, name)["pid"]))


def route(at: Bench, app: str, org: str) -> Route:
    at.waker.apps[f"{app}.localhost"] = (app, at.endpoint)
    return Route(app, (f"{app}.localhost",), (at.endpoint,), org=org)


async def next_roostd(at: Bench) -> None:
    """End this roostd, and begin another one that adopts the cells."""
    routes = list(at.edge._routes.values())
    await at.edge.stop(envoy_too=False)
    at.edge = EnvoyEdge(at.cloud, at.waker, spawn, EdgeOptions(cells=CELLS))
    await at.edge.start()
    await at.edge.replace_all(routes)
