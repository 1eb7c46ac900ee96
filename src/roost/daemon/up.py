"""`roost up`: from a fresh server to a cloud that answers, and nothing at all when it already does.

Steps, each of which looks before it acts: the cloud's identity, the checks of the host (`checks`), then the
identity is saved (`cloud_file`), the run directory made in memory, the supervisor started, which starts roostd;
then it waits until the API answers. Killed anywhere, the next `up` goes on from there; failing, it ends what it
started and keeps all state, and where a check fails there is none yet. A lock on the home serialises `up`,
`down` and `destroy-cloud`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from roost.daemon import cloud_file, edge_stand_in, pid_file, processes, sole, strays
from roost.daemon.acme_settings import check_email
from roost.daemon.settings import Settings, child_environment
from roost.daemon.supervise import STOP_TIMEOUT, roostd_argv
from roost.host.process import Child, run, spawn
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, Conflict, FailedPrecondition, Forbidden, HostFailure, TimedOut
from roost.plan.cloud_domain import why_not_public

START_TIMEOUT = 300.0  # seconds; roostd and all of the edge, on a server that is busy starting others too
FOREGROUND_TIMEOUT = 15.0
LOCK_TIMEOUT = 180.0
_STARTS_BEFORE_GIVING_UP = 3
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the flags of `roost up` ask for. None: as it is, or the default for a new cloud."""

    http_port: int | None = None
    api_port: int | None = None
    domain: str | None = None
    https_port: int | None = None  # 0: none
    email: str | None = None  # "": none any more
    network: str | None = None  # of a new cloud's machines; stays as it is for good


def require_root(verb: str) -> None:
    """Raise Forbidden unless this is root, who alone can make mounts, namespaces and cgroups."""
    if os.geteuid() != 0:
        raise Forbidden(f"`roost {verb}` needs root: it works with mounts, namespaces and cgroups", hint="use sudo")


@contextlib.contextmanager
def _home(settings: Settings) -> Iterator[None]:
    """Hold the lock of the home, which is made if it is missing and taken away again if nothing came to be in it."""
    existed = settings.home.exists()
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o755)
    try:
        with home_lock(settings.home):
            yield
    except BaseException:
        if not existed:
            with contextlib.suppress(OSError):
                settings.home.rmdir()
        raise


@contextlib.contextmanager
def home_lock(home: Path) -> Iterator[None]:
    """Hold the home's lock, so that one of up, down and destroy-cloud runs at a time; raises TimedOut.

    The lock is on the directory itself: it leaves no file behind and dies with its holder.
    """
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimedOut(f"another roost up, down or destroy-cloud is at work on {home}") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(fd)


def identity(settings: Settings, wanted: Wanted) -> Cloud:
    """Return the cloud of the home as wanted, a new one if there is none; writes nothing.

    Raises Conflict when a flag would change a running cloud, BadInput when the ports can't be.
    """
    http_port, api_port, domain = wanted.http_port, wanted.api_port, wanted.domain
    email = None if wanted.email is None else check_email(wanted.email, "--email")
    if not (settings.home / cloud_file.FILE_NAME).exists():
        if stray := strays.of_home(settings.home):
            raise Conflict(
                f"parts of a cloud that was in {settings.home} still run", hint=f"{strays.command(stray)} ends them"
            )
        cloud = changed = cloud_file.new_cloud(
            settings.home,
            cache=settings.cache,
            http_port=http_port or (80 if email and not why_not_public(domain or "") else cloud_file.DEFAULT_HTTP_PORT),
            api_port=api_port or cloud_file.DEFAULT_API_PORT,
            domain=cloud_file.check_domain(domain or cloud_file.DEFAULT_DOMAIN),
            https_port=wanted.https_port,
            email=email or "",
            network=wanted.network or "",
        )
    else:
        cloud = cloud_file.load_cloud(settings.home, cache=settings.cache)
        changed = replace(
            cloud,
            http_port=http_port or cloud.http_port,
            api_port=api_port or cloud.api_port,
            domain=cloud_file.check_domain(domain or cloud.domain),
            https_port=_https_port(cloud, wanted),
            email=cloud.email if email is None else email,
        )
        if wanted.network and wanted.network != str(cloud.ipv4_network):
            raise Conflict(
                f"the cloud's network is {cloud.ipv4_network}: its machines have their addresses there",
                hint="leave --network out; another network takes another cloud, with --home",
            )
    if changed.http_port == changed.api_port:
        raise BadInput(
            f"port {changed.http_port} can't be both the apps' and the API's",
            hint="choose another one with --http-port or --api-port",
        )
    if changed.https_port in (changed.http_port, changed.api_port):
        raise BadInput(
            f"port {changed.https_port} can't be that of https, since it is the apps' or the API's",
            hint="choose another one with --https-port",
        )
    if changed != cloud and _may_run(cloud):
        raise Conflict(
            "the cloud runs with other ports, another domain or email address",
            hint="run `roost down` first, then `up` again",
        )
    return changed


def _https_port(cloud: Cloud, wanted: Wanted) -> int:
    """Return the port that is asked for, else the one it had; with the usual ports it moves along with HTTP's."""
    if wanted.https_port is not None:
        return wanted.https_port
    moved = wanted.http_port is not None and wanted.http_port != cloud.http_port
    if moved and cloud.https_port == cloud_file.usual_https_port(cloud.http_port):
        return cloud_file.usual_https_port(wanted.http_port or cloud.http_port)
    return cloud.https_port


def _may_run(cloud: Cloud) -> bool:
    """True when a part of the cloud runs, or systemd is about to start it again."""
    return not processes.look(cloud).nothing_runs or processes.foreground_pid_file(cloud).exists()


def check_host(cloud: Cloud, say: Say) -> None:
    """Raise FailedPrecondition when the host lacks something roost can't do without."""
    from roost.daemon import checks  # loads netlink, which the `up` of a healthy cloud does without

    findings = checks.for_start(cloud)
    for finding in findings:
        if finding.status == "warn":
            say(f"warning: {finding.name}: {finding.detail}" + (f" ({finding.fix})" if finding.fix else ""))
    failed = [finding for finding in findings if finding.status == "fail"]
    if failed:
        lines = "; ".join(f"{finding.name}: {finding.detail}" for finding in failed)
        raise FailedPrecondition(f"this host can't run a cloud yet: {lines}", hint=failed[0].fix or "see roost doctor")


def ensure_run_directory(cloud: Cloud) -> None:
    """Mount a tmpfs on the run directory: sockets, pid files and secrets are in memory only."""
    cloud.run.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    cloud.run.mkdir(mode=0o700, exist_ok=True)
    if not cloud.run.is_mount():
        options = "mode=0700,nosuid,nodev,size=25%"
        run(["mount", "-t", "tmpfs", "-o", options, f"roost-{cloud.id}", str(cloud.run)], timeout=60)
    for directory in (cloud.logs, cloud.keys):
        directory.mkdir(mode=0o700, exist_ok=True)
    strays.keep_identity(cloud)
    sole.allow_roostd(cloud)


def start(settings: Settings, wanted: Wanted, say: Say) -> Cloud:
    """Bring the cloud up and return it when its API answers; changes nothing when it does already."""
    require_root("up")
    with _home(settings):
        cloud = identity(settings, wanted)
        seen = processes.look(cloud)
        if seen.healthy and seen.kept_running:
            return cloud
        if seen.roostd is None and _comes_back_by_itself(cloud):
            return cloud
        if seen.nothing_runs:
            check_host(cloud, say)
        cloud_file.save_cloud(cloud)
        ensure_run_directory(cloud)
        supervisor = _start_supervisor(cloud, settings, say) if seen.supervisor is None else None
        try:
            _wait_until_healthy(cloud, supervisor)
        except BaseException:
            if supervisor is not None:  # end what was started here, and nothing else
                pid_file.end(processes.supervisor_pid_file(cloud), timeout=40.0)
                if seen.roostd is None:
                    sole.forbid_roostd(cloud, timeout=STOP_TIMEOUT)  # one whose supervisor was killed
                if seen.envoy is None:
                    processes.end_edge(cloud, timeout=10.0)
            raise
        return cloud


def _comes_back_by_itself(cloud: Cloud) -> bool:
    """Wait for a roostd that was started by `up --foreground` and died: systemd starts it again. False if none does."""
    if not processes.foreground_pid_file(cloud).exists():
        return False
    deadline = time.monotonic() + FOREGROUND_TIMEOUT
    while time.monotonic() < deadline:
        if processes.look(cloud).healthy:
            return True
        time.sleep(0.1)
    processes.foreground_pid_file(cloud).unlink(missing_ok=True)
    return False


def _start_supervisor(cloud: Cloud, settings: Settings, say: Say) -> Child:
    processes.supervisor_state_file(cloud).unlink(missing_ok=True)
    say("starting roostd")
    argv = [sys.executable, "-m", "roost.daemon.supervise", "--home", str(settings.home)]
    return spawn(argv, log=cloud.logs / "supervisor.log", env=child_environment(settings))


def become_roostd(settings: Settings, wanted: Wanted, say: Say) -> None:
    """`up --foreground`: prepare, then turn this process into roostd. For systemd and containers."""
    require_root("up")
    with _home(settings):
        cloud = identity(settings, wanted)
        seen = processes.look(cloud)
        if seen.roostd is not None or seen.supervisor is not None:
            raise Conflict("the cloud runs already, started by `roost up`", hint="`roost down` stops it")
        if (settings.home / cloud_file.FILE_NAME).exists():  # whatever becomes of roostd, the edge shall run
            ensure_run_directory(cloud)
            edge_stand_in.ensure(cloud, patience=edge_stand_in.PATIENCE)
        if seen.nothing_runs:
            check_host(cloud, say)
        cloud_file.save_cloud(cloud)
        ensure_run_directory(cloud)
        pid_file.write(processes.foreground_pid_file(cloud), os.getpid())
    argv = roostd_argv(settings.home)
    os.execve(argv[0], argv, child_environment(settings))  # noqa: S606  # the pid stays, so systemd knows roostd


def _wait_until_healthy(cloud: Cloud, supervisor: Child | None) -> None:
    """Return when roostd answers and is kept running. `supervisor` is the one just started, None for an older one."""
    deadline = time.monotonic() + START_TIMEOUT
    starts_before = _starts(cloud)
    while time.monotonic() < deadline:
        seen = processes.look(cloud)
        if seen.healthy and seen.kept_running:
            return
        ended = supervisor.poll() if supervisor is not None else None
        if ended is not None and seen.supervisor is None:
            raise _failure(cloud, f"the supervisor ended with code {ended}")
        if _starts(cloud) - starts_before >= _STARTS_BEFORE_GIVING_UP:
            raise _failure(cloud, "roostd ends right after its start")
        time.sleep(0.05)
    raise _failure(cloud, f"roostd's API did not answer on port {cloud.api_port} within {START_TIMEOUT:g} s")


def _starts(cloud: Cloud) -> int:
    try:
        return int(json.loads(processes.supervisor_state_file(cloud).read_text())["starts"])
    except (FileNotFoundError, ValueError, KeyError):
        return 0


def _failure(cloud: Cloud, what: str) -> HostFailure:
    log = processes.roostd_log(cloud)
    lines = processes.last_lines(log) or processes.last_lines(cloud.logs / "supervisor.log")
    story = "".join(f"\n    {line}" for line in lines)
    return HostFailure(
        f"the cloud did not come up: {what}. The last lines of {log}:{story}",
        hint="`roost doctor` checks the host; when the cause is mended, run `roost up` again; "
        "meanwhile `roost edge start` has the edge answer for the apps",
    )


def unseen_admin_token(cloud: Cloud) -> str:
    """Return the admin token if it was not shown yet, else ""."""
    try:
        return _admin_token_file(cloud).read_text().strip()
    except FileNotFoundError:
        return ""


def forget_admin_token(cloud: Cloud) -> None:
    """Delete the token's clear text, after it was shown."""
    _admin_token_file(cloud).unlink(missing_ok=True)


def _admin_token_file(cloud: Cloud) -> Path:
    return cloud.keys / "admin.token.once"
