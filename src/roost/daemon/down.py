"""`roost down` and `roost destroy-cloud`: what runs ends, in the order that loses nothing.

Down: roostd first (so that it restarts nothing), then Envoy, then each machine with its own stop signal
and timeout, then what the host holds for them in memory: namespaces, bridges, rules, cgroups, mounts. What
was desired stays in the store, so `up` brings the same machines back. Destroy goes on to the disks, the
home and the host's notes, and needs no process alive nor any file complete but `cloud.json`, which goes
last: killed anywhere, run it again. Where the home went first, by hand, `strays` knows what it was. All look
before they act, so twice is once.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from roost.daemon import cloud_file, pid_file, processes, sole, strays
from roost.daemon.settings import Settings
from roost.daemon.supervise import STOP_TIMEOUT
from roost.daemon.up import Say, home_lock, require_root
from roost.edge.last_good import kept_directory
from roost.host import loop, mounts, service_cgroups
from roost.host.agent import LocalHost
from roost.host.cgroups import Cgroups
from roost.host.contract import Observed, RuntimeState
from roost.host.network import Network
from roost.host.process import run
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, Conflict, FailedPrecondition, HostFailure, NotFound, RoostError, TimedOut

ENVOY_TIMEOUT = 10.0
DNS_TIMEOUT = 3.0
LOOP_TIMEOUT = 90.0  # whoever has a copy of the host's mounts (making a base image does) holds the pool for so long
_AT_ONCE = 16
_RUNS = (RuntimeState.RUNNING, RuntimeState.FROZEN)


def stop(settings: Settings, say: Say) -> bool:
    """Stop the cloud and keep its state; False when nothing ran. Raises NotFound when there is no cloud."""
    require_root("down")
    cloud = _load(settings)
    with home_lock(settings.home):
        ran = _end_processes(cloud, say)
        host = LocalHost(cloud)
        ran = _stop_machines(cloud, settings, host, say) or ran
        host.close()
        _release_host(cloud)
        _remove_run_directory(cloud)
    return ran


def destroy(settings: Settings, say: Say, *, confirmed: bool) -> None:
    """Remove the cloud with all its data. Raises BadInput without confirmation, NotFound when there is none."""
    require_root("destroy-cloud")
    cloud = _load(settings)
    if not confirmed:
        raise BadInput(
            f"this deletes the cloud {cloud.id} in {cloud.home}: all apps, disks, images and keys",
            hint="add --yes to do it",
        )
    with home_lock(settings.home):
        _remove_from_host(cloud, say)
        _remove_home(cloud)
    cloud_file.forget_cloud(cloud)
    _remove_if_empty(cloud.run.parent)


def destroy_stray(cloud: Cloud, say: Say, *, confirmed: bool) -> None:
    """Remove what is left of a cloud whose home was removed by hand.

    Files that are in its home's place stay, but for logs and the edge's: what still ran made those again.
    """
    require_root("destroy-cloud")
    if not confirmed:
        raise BadInput(f"this ends the cloud {cloud.id}, which had its home in {cloud.home}", hint="add --yes to do it")
    with home_lock(cloud.run):
        if strays.has_home(cloud):
            raise Conflict(f"the cloud {cloud.id} has its home, {cloud.home}", hint="roost destroy-cloud --home")
        _remove_from_host(cloud, say)
    if not (cloud.home / cloud_file.FILE_NAME).exists():  # else another cloud has taken the place
        _unmount_all(cloud.home, itself=False)
        for directory in (cloud.logs, kept_directory(cloud)):
            shutil.rmtree(directory, ignore_errors=True)
        for directory in (cloud.pool, cloud.home):
            _remove_if_empty(directory)
    cloud_file.forget_cloud(cloud)
    _remove_if_empty(cloud.run.parent)


def _load(settings: Settings) -> Cloud:
    try:
        return cloud_file.load_cloud(settings.home, cache=settings.cache)
    except NotFound as error:
        stray = strays.of_home(settings.home)
        if stray is None:
            raise
        raise NotFound(
            error.message, hint=f"but parts of one that was there still run: {strays.command(stray)}"
        ) from None


def _remove_from_host(cloud: Cloud, say: Say) -> None:
    _end_processes(cloud, say)
    say("removing machines, networks and disks")
    LocalHost(cloud).destroy_everything()
    _remove_run_directory(cloud)


def _end_processes(cloud: Cloud, say: Say) -> bool:
    """End the supervisor, roostd, Envoy, the servers of files and of names, in this order; True when any ran.

    No roostd begins from then on.
    """
    seen = processes.look(cloud, ask_api=False)
    if seen.supervisor is not None or seen.roostd is not None:
        say("stopping roostd")
    ran = pid_file.end(processes.supervisor_pid_file(cloud), timeout=STOP_TIMEOUT + 15.0)
    ran = sole.forbid_roostd(cloud, timeout=STOP_TIMEOUT) or ran
    if seen.envoy is not None:
        say("stopping Envoy")
    ran = processes.end_edge(cloud, timeout=ENVOY_TIMEOUT) or ran
    ran = pid_file.end(processes.statics_pid_file(cloud), timeout=DNS_TIMEOUT) or ran
    service_cgroups.remove(cloud.edge_cgroups)
    return pid_file.end(processes.dns_pid_file(cloud), timeout=DNS_TIMEOUT) or ran


def _stop_machines(cloud: Cloud, settings: Settings, host: LocalHost, say: Say) -> bool:
    """Stop all machines that run, several at once; True when any did.

    One that ended by itself when nobody was there to release it is released in the same way.
    """
    unreleased = set(Cgroups(cloud.cgroup).machines())
    found = host.observe_all().values()
    running = [seen for seen in found if seen.state in _RUNS or seen.machine_id in unreleased]
    if not running:
        return False
    say(f"stopping {len(running)} machine{'s' if len(running) > 1 else ''}")
    wishes = _stop_wishes(cloud, settings)

    def stop_one(seen: Observed) -> str:
        signal, timeout, keep = wishes.get(seen.machine_id, ("SIGINT", 5.0, False))
        if seen.containers:
            signal, timeout = "", None
        try:
            host.stop(seen.machine_id, signal=signal, timeout=timeout, keep_root=keep)
        except RoostError as error:
            return f"{seen.machine_id}: {error.message}"
        return ""

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        failures = [failure for failure in pool.map(stop_one, running) if failure]
    if failures:
        raise HostFailure(
            f"{len(failures)} machines did not stop: {'; '.join(failures)}", hint="run `roost down` again"
        )
    return True


def _stop_wishes(cloud: Cloud, settings: Settings) -> dict[str, tuple[str, float | None, bool]]:
    """Return each machine's stop signal and timeout, and whether its root stays: `roost up` starts it again.

    A machine that the store does not know gets the default.
    """
    if not (cloud.home / "state.db").exists():
        return {}
    # Loaded only here: destroying a cloud must work whatever state its database and images are in.
    from roost.build.store import LocalImageStore
    from roost.control.machine_spec import stop_signal
    from roost.store.store import Store

    images = LocalImageStore(cloud, run, settings.registry)
    store = Store(cloud.database_url)
    wishes: dict[str, tuple[str, float | None, bool]] = {}
    try:
        for machine in store.machines.list():
            signal = machine.config.stop_config.signal
            with contextlib.suppress(NotFound):
                signal = stop_signal(machine, images.get(machine.image_digest))
            keep = machine.config.guest.persist_rootfs != "never"
            wishes[machine.id] = (signal or "SIGINT", machine.config.stop_config.timeout, keep)
    finally:
        store.close()
    return wishes


def _release_host(cloud: Cloud) -> None:
    """Give back what the host holds in memory for a cloud whose machines are stopped. The pool's file stays."""
    Network(cloud).destroy()
    Cgroups(cloud.cgroup).remove_parent()
    _unmount_all(cloud.run, itself=False)  # the root of a machine that ended by itself keeps the pool in use
    _unmount_all(cloud.home, itself=False)
    _wait_for_loop_devices(cloud.home)


def _wait_for_loop_devices(home: Path) -> None:
    """Return when no loop device is on a file of the home any more: until then its file system may be written to."""
    deadline = time.monotonic() + LOOP_TIMEOUT
    while used := [path for path in loop.attached() if home in path.parents]:
        if time.monotonic() > deadline:
            raise TimedOut(
                f"{used[0]} is still in use by a loop device", hint="see `losetup -a` and `lsof`, then try again"
            )
        time.sleep(0.01)


def _remove_run_directory(cloud: Cloud) -> None:
    _unmount_all(cloud.run)
    shutil.rmtree(cloud.run, ignore_errors=True)


def _remove_home(cloud: Cloud) -> None:
    """Delete what is in the home, `cloud.json` last, and the home. An operator's `config.toml` stays."""
    _unmount_all(cloud.home, itself=False)
    _wait_for_loop_devices(cloud.home)
    own = cloud.home / cloud_file.FILE_NAME
    for path in sorted(cloud.home.iterdir(), key=lambda path: path == own):
        if path.name == "config.toml":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    _remove_if_empty(cloud.home)


def _unmount_all(root: Path, *, itself: bool = True) -> None:
    """Unmount everything below `root`, so that no deletion can reach into another file system."""
    for point in mounts.mounts_below(root):
        if itself or point != root:
            mounts.unmount(point)
    left = [point for point in mounts.mounts_below(root) if itself or point != root]
    if left:
        raise FailedPrecondition(
            f"{left[0]} can't be unmounted: something on it is in use",
            hint=f"see `fuser -vm {left[0]}`, then try again",
        )


def _remove_if_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        return
