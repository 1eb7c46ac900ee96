"""The processes of a cloud as its files show them: where the pid files are, and whether the API answers.

Owns nothing; reads the run directory and asks the API on loopback. Works with any part of the cloud dead.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from roost.daemon import pid_file
from roost.model.cloud import Cloud

PROBE_TIMEOUT = 2.0


def roostd_pid_file(cloud: Cloud) -> Path:
    """Written by roostd itself (`sole`)."""
    return cloud.run / "roostd.pid"


def supervisor_pid_file(cloud: Cloud) -> Path:
    """Written by the supervisor."""
    return cloud.run / "supervisor.pid"


def foreground_pid_file(cloud: Cloud) -> Path:
    """Written when roostd runs by `up --foreground`: whoever ran that keeps it running, and no supervisor may."""
    return cloud.run / "foreground.pid"


def supervisor_state_file(cloud: Cloud) -> Path:
    """What the supervisor last did: `{"starts": N, "last_exit": CODE}`."""
    return cloud.run / "supervisor.json"


def stand_in_pid_file(cloud: Cloud) -> Path:
    """Written for the process that looks after the edge without roostd, by whoever holds its lock."""
    return cloud.run / "edge-stand-in.pid"


def stand_in_place(cloud: Cloud) -> Path:
    """Held by the stand-in for its whole life, so that there is one."""
    return cloud.run / "edge-stand-in.lock"


def stand_in_lock(cloud: Cloud) -> Path:
    """Held by the process that looks after the edge."""
    return cloud.run / "edge.lock"


FRONTS = ("front", "postgres")  # of the edge's processes


def edge_pid_files(cloud: Cloud) -> dict[str, Path]:
    """Written by the edge, which has one cell or several and a front before them; by name, the fronts first."""
    base = cloud.run / "edge"
    cells = {f"cell {path.parent.name}": path for path in sorted(base.glob("cells/*/envoy.pid"))}
    postgres = {"postgres": base / "postgres" / "front.pid"}
    return {"front": base / "front" / "front.pid", **postgres, "envoy": base / "envoy.pid", **cells}


def end_edge(cloud: Cloud, *, timeout: float) -> bool:
    """End what looks after the edge, the front and all cells, each within `timeout` seconds; True when any ran."""
    ran = pid_file.end(stand_in_pid_file(cloud), timeout=timeout)
    return any([pid_file.end(path, timeout=timeout) for path in edge_pid_files(cloud).values()]) or ran


def dns_pid_file(cloud: Cloud) -> Path:
    """Written by roostd when it starts the DNS server."""
    return cloud.run / "dns.pid"


def statics_pid_file(cloud: Cloud) -> Path:
    """Written by roostd when it starts the server of files."""
    return cloud.run / "statics.pid"


def roostd_log(cloud: Cloud) -> Path:
    """Output of roostd."""
    return cloud.logs / "roostd.log"


def api_answers(port: int, timeout: float = PROBE_TIMEOUT) -> bool:
    """True when `GET /healthz` on loopback says `{"ok": true}`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        answer = json.loads(response.read(4096))
        return response.status == 200 and isinstance(answer, dict) and answer.get("ok") is True
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """What runs of a cloud. A pid of None: that process does not run."""

    roostd: int | None
    supervisor: int | None
    envoy: int | None
    api: bool
    foreground: bool = False
    dns: int | None = None
    statics: int | None = None
    edge: Mapping[str, int] = field(default_factory=dict)  # the edge's processes that run, by name

    @property
    def healthy(self) -> bool:
        """True when this cloud's own roostd serves the API."""
        return self.roostd is not None and self.api

    @property
    def kept_running(self) -> bool:
        """True when something starts roostd again should it end."""
        return self.supervisor is not None or self.foreground

    @property
    def nothing_runs(self) -> bool:
        """True when no process of the control plane or the edge runs."""
        return self.roostd is None and self.supervisor is None and self.envoy is None


def look(cloud: Cloud, *, ask_api: bool = True) -> Seen:
    """Look at the cloud's processes now. Without `ask_api` the API counts as not answering."""
    roostd = pid_file.read(roostd_pid_file(cloud))
    edge = {name: pid for name, path in edge_pid_files(cloud).items() if (pid := pid_file.read(path))}
    return Seen(
        roostd=roostd,
        supervisor=pid_file.read(supervisor_pid_file(cloud)),
        envoy=next((pid for name, pid in edge.items() if name not in FRONTS), next(iter(edge.values()), None)),
        edge=edge,
        api=ask_api and roostd is not None and api_answers(cloud.api_port),
        dns=pid_file.read(dns_pid_file(cloud)),
        statics=pid_file.read(statics_pid_file(cloud)),
        foreground=roostd is not None and pid_file.read(foreground_pid_file(cloud)) == roostd,
    )


def status(cloud: Cloud, seen: Seen, *, version: str) -> dict[str, object]:
    """Return the cloud's state as JSON for `status --json`, from files alone."""
    return {
        "id": cloud.id,
        "version": version,
        "home": str(cloud.home),
        "domain": cloud.domain,
        "state": "up" if seen.healthy else "down" if seen.nothing_runs else "degraded",
        "http_port": cloud.http_port,
        "https_port": cloud.https_port,
        "api_port": cloud.api_port,
        "api_url": cloud.api_url,
        "roostd": {"pid": seen.roostd, "running": seen.roostd is not None, "healthy": seen.healthy},
        "supervisor": {"pid": seen.supervisor, "running": seen.supervisor is not None},
        "envoy": {"pid": seen.envoy, "running": seen.envoy is not None, "processes": dict(seen.edge)},
        "dns": {"pid": seen.dns, "running": seen.dns is not None},
        "statics": {"pid": seen.statics, "running": seen.statics is not None},
        "log": str(roostd_log(cloud)),
    }


def last_lines(path: Path, count: int = 20) -> list[str]:
    """Return the last lines of a log, reading no more than its last 64 KiB."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 65536))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
