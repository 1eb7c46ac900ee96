"""How the edge is, for `roost status`. Owns no state; reads what its parts know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from roost.edge.cell import Cell
from roost.edge.contract import EdgeStatus
from roost.edge.front import Front
from roost.edge.process import user_of
from roost.edge.rollout import RollOut
from roost.model.cloud import Cloud


def status_of(
    cloud: Cloud,
    cells: Sequence[Cell],
    front: Front | None,
    roll_out: RollOut,
    *,
    routes: int,
    leaving: int,
    port_troubles: Mapping[str, str],
    postgres: Mapping[str, object],
) -> EdgeStatus:
    """Return how the edge is. What has nothing to tell is not in the detail."""
    pid = next((cell.pid for cell in cells if cell.pid), 0)
    detail: dict[str, object] = {
        "waiting": sum(cell.activator.waiting for cell in cells),
        "replaying": sum(cell.replays.under_way for cell in cells),
        "leaving": leaving,
        "restarts": sum(cell.keeper.restarts for cell in cells),
        "adopted": all(cell.keeper.adopted for cell in cells),
        "port": cloud.http_port,
        "https_port": cloud.https_port,
        "user": user_of(pid) if pid else -1,
    }
    if front is not None:
        detail["cells"] = [cell.detail() for cell in cells]
        detail["front"] = front.detail()
    told = {
        "rollout": roll_out.state,
        "rolled_back": roll_out.told,
        "ports": port_troubles,
        "postgres": postgres,
        "trouble": "; ".join(cell.keeper.trouble for cell in cells if cell.keeper.trouble),
    }
    detail |= {key: value for key, value in told.items() if value}
    rejected = next((cell.xds.latest_refusal for cell in cells if cell.xds.latest_refusal), "")
    return EdgeStatus(pid, all(cell.xds.connected for cell in cells), routes, rejected, detail)
