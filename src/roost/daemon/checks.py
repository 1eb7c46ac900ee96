"""The host's checks as `roost doctor` and `roost up` use them: the doctor's findings, less what is our own doing."""

from __future__ import annotations

import shutil
import socket
from dataclasses import asdict, replace
from pathlib import Path

from roost.daemon import cloud_file, processes, strays
from roost.daemon.settings import Settings, read_settings
from roost.host.doctor import Finding, diagnose
from roost.host.doctor_network import judge_network
from roost.host.finding import FindingStatus, fail, ok, warn
from roost.host.network_resolvers import host_resolvers
from roost.model.cloud import Cloud
from roost.model.errors import FREE_SPACE, BadInput, Conflict, NotFound
from roost.plan.capacity import pool_has_room

RUN_ROOM = 32 << 20  # bytes that a run directory should have free
_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def findings(settings: Settings) -> list[Finding]:
    """Check the host for the cloud of `settings.home`, or for a new one with the usual ports; name stray clouds."""
    return _of_cloud(settings) + strays.findings()


def _of_cloud(settings: Settings) -> list[Finding]:
    try:
        cloud = cloud_file.load_cloud(settings.home, cache=settings.cache)
    except NotFound:
        return diagnose(cloud_file.DEFAULT_HTTP_PORT, cloud_file.DEFAULT_API_PORT, settings.home)
    found = _of_host(cloud)
    if cloud.pool.is_mount():
        found.append(judge_pool(cloud.pool))
    if cloud.run.is_mount():
        found.append(judge_run_directory(cloud.run))
    seen = processes.look(cloud)
    if seen.nothing_runs:
        return found
    found.append(judge_roostd(seen))
    return [finding for finding in found if "port" not in finding.name]  # the ports in use are the cloud's own


def judge_pool(pool: Path) -> Finding:
    """Tell whether the pool, a mounted file system, takes more machines."""
    space = shutil.disk_usage(pool)
    detail = f"{space.used / 1e9:.1f} of {space.total / 1e9:.1f} GB used"
    if pool_has_room(space.total - space.free, space.total):
        return ok("pool", detail)
    return warn("pool", f"{detail}: it takes no more machines and releases", FREE_SPACE)


def judge_settings(home: Path) -> list[Finding]:
    """Tell whether the next roostd can read its settings, where there are any."""
    file = home / "config.toml"
    if not file.exists():
        return []
    try:
        read_settings(home)
    except BadInput as error:
        return [fail("config.toml", error.message, error.hint or f"mend {file}: roostd does not start with it")]
    return [ok("config.toml", str(file))]


def judge_run_directory(directory: Path) -> Finding:
    """Tell whether the run directory, which is in memory, takes more."""
    space = shutil.disk_usage(directory)
    detail = f"{space.free / 1e6:.0f} of {space.total / 1e6:.0f} MB free at {directory}"
    if space.free >= min(RUN_ROOM, space.total // 20):
        return ok("run directory", detail)
    return fail(
        "run directory", f"{detail}: nothing can be started", f"remove what is not Roost's, see `du -a {directory}`"
    )


def judge_roostd(seen: processes.Seen) -> Finding:
    """Tell whether the control plane works, of a cloud of which something runs."""
    if seen.healthy:
        return ok("roostd", f"pid {seen.roostd}, answers")
    told = "does not run" if seen.roostd is None else f"pid {seen.roostd} does not answer"
    more = "" if seen.kept_running else ", and nothing starts it again"
    return fail("roostd", told + more, "see HOME/log/roostd.log; `roost up` starts it")


def _of_host(cloud: Cloud) -> list[Finding]:
    network = judge_network(cloud.ipv4_network, host_resolvers())
    return [*diagnose(cloud.http_port, cloud.api_port, cloud.home), network]


def for_start(cloud: Cloud) -> list[Finding]:
    """Check the host for a cloud of which nothing runs; raises Conflict when one of its ports is taken."""
    check_port_is_free(cloud.api_port, "the API")
    check_port_is_free(cloud.http_port, "the apps")
    if cloud.https_port:
        check_port_is_free(cloud.https_port, "the apps by https")
    found = _of_host(cloud)
    if not (cloud.home / "state.db").exists():
        return found
    # A new cloud needs space; one that is there must come up however full its disk has become.
    full = ("disk space", FindingStatus.FAIL)
    return [
        replace(finding, status=FindingStatus.WARN) if (finding.name, finding.status) == full else finding
        for finding in found
    ]


def check_port_is_free(port: int, what: str) -> None:
    """Raise Conflict when something listens on `port` already. `what` is one of three."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  # looks at every address; nothing listens here
        except OSError as error:
            flags = {"the API": "--api-port", "the apps": "--http-port", "the apps by https": "--https-port"}
            raise Conflict(
                f"port {port} for {what} can't be used: {error.strerror}", hint=f"choose another one with {flags[what]}"
            ) from None


def as_line(finding: Finding) -> str:
    """Return a finding as the terminal shows it."""
    fix = f"\n       {finding.fix}" if finding.fix and finding.status != "ok" else ""
    return f"{_MARKS[finding.status]} {finding.name}: {finding.detail}{fix}"


def as_json(finding: Finding) -> dict[str, str]:
    """Return a finding as JSON."""
    return {key: str(value) for key, value in asdict(finding).items()}
