"""Machines that do one thing for a release and go: its release command, its seed command, checks of its machines.

State owned: the machine of an errand, in a process group of its own that no service, scale or rollout looks at; the
next errand of its kind removes what a kill left of it. An errand that is run again begins anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from roost.control.container_images import image_for, with_images
from roost.control.core import Core
from roost.control.lifecycle import Lifecycle
from roost.control.machines import Machines
from roost.control.operations import Job
from roost.model.app import Release
from roost.model.app_config import MachineCheck
from roost.model.app_config_read import machine_configs
from roost.model.errors import RoostError, TimedOut, Unprocessable
from roost.model.machine import Machine
from roost.model.machine_config import Init, MachineConfig, Restart, StopConfig
from roost.model.names import RELEASE_GROUP, TEST_GROUP

LAST_LINES = 20
MANY = 1000  # lines of a log looked at in one go
TELL = 0.5  # seconds between two looks at a log
_HAS_IPV6 = Path("/proc/sys/net/ipv6")
T = TypeVar("T")


def tell_while(
    core: Core,
    work: Coroutine[Any, Any, T],
    machine_id: str,
    job: Job,
    *,
    quiet: float,
    waits_for: Callable[[], str] | None = None,
) -> T:
    """Wait for `work` on the loop, and tell what the machine logs meanwhile.

    Nothing is told of a wait of less than `quiet` seconds that ends well (with None). After that `waits_for` says
    what is waited for ("": nothing that is known); that is told whenever it changes. The work has its own deadline, and
    ends with the job: raises Cancelled.
    """
    future = core.begin_on_loop(work)
    began, offsets, lines = core.now(), dict[str, int](), list[str]()
    told = ""
    while True:
        done = wait([future], timeout=TELL).done
        for container in core.host.logged_containers(machine_id):
            for line in core.host.logs(machine_id, offset=offsets.get(container, 0), limit=MANY, container=container):
                offsets[container] = line.offset
                lines.append(f"{container}: {line.text}" if container else line.text)
        failed = done and (future.exception() is not None or future.result() is not None)
        if failed or core.now() - began > quiet:
            for text in lines[-LAST_LINES:] if failed else lines:
                job.report(text)
            lines.clear()
        if done:
            return future.result()
        if waits_for is not None and core.now() - began > quiet and (why := waits_for()) != told:
            told = why
            if why:
                job.report(f"waiting for machine {machine_id}: {why}")
        if job.cancelled.is_set():
            future.cancel()
            job.check()


class Errands:
    """Runs them, one at a time per app: the operations of an app come one after the other."""

    def __init__(self, core: Core, machines: Machines, lifecycle: Lifecycle) -> None:
        self._core = core
        self._machines = machines
        self._lifecycle = lifecycle

    def command(self, job: Job, release: Release, command: str, what: str) -> None:
        """Run a command line in the release's image; raises Unprocessable when it fails. `what` it is called."""
        job.report(f"$ {command}")
        web = next(iter(_configs(release).values()))
        deploy = release.config.deploy
        config = replace(
            _alone(web, {"RELEASE_COMMAND": "1"}),
            guest=deploy.release_command_guest or replace(web.guest, persist_rootfs="never"),
            init=replace(web.init, exec=("/bin/sh", "-c", command), entrypoint=(), cmd=(), tty=False),
        )
        machine = self._add(release, RELEASE_GROUP, config, release.image_digest)
        self._run(job, machine, deploy.release_command_timeout, f"the {what}", command)

    def machine_checks(self, job: Job, release: Release, tested: Machine, configs: Mapping[str, MachineConfig]) -> None:
        """Run the checks of a new machine's process group against it; raises Unprocessable when one fails."""
        web = "app" if "app" in configs else next(iter(configs))
        for groups, check in release.config.machine_checks:
            if tested.process_group in (groups or (web,)):
                self._check(job, release, tested, configs[tested.process_group], check)

    def _check(self, job: Job, release: Release, tested: Machine, of_group: MachineConfig, check: MachineCheck) -> None:
        said = " ".join((*check.entrypoint, *check.command)) or check.image
        job.report(f"checking machine {tested.id}: {said}")
        init = replace(of_group.init, exec=(), entrypoint=check.entrypoint, cmd=check.command, tty=False)
        image, digest = of_group.image, release.image_digest
        if check.image:
            found = image_for(self._core, release.app, check.image, job.report, job.cancelled)
            image, digest = check.image, found.digest
            init = Init(entrypoint=check.entrypoint, cmd=check.command)
        address = tested.private_ip if _HAS_IPV6.exists() else tested.private_ipv4
        told = {"TEST_COMMAND": "1", "TEST_MACHINE_IP": address}
        config = replace(
            _alone(of_group, {f"{prefix}_{key}": value for prefix in ("FLY", "ROOST") for key, value in told.items()}),
            image=image,
            init=init,
            guest=replace(of_group.guest, persist_rootfs="never"),
            stop_config=StopConfig(check.kill_signal, check.kill_timeout),
        )
        machine = self._add(release, TEST_GROUP, config, digest)
        self._run(job, machine, release.config.deploy.wait_timeout, f"the check of machine {tested.id}", said)

    def _add(self, release: Release, group: str, config: MachineConfig, digest: str) -> Machine:
        for left in self._core.store.machines.list(release.app):
            if left.process_group == group:
                self._lifecycle.destroy(left.id, source="flyd")
        return self._machines.add(
            release.app,
            with_images(self._core, release.app, config),
            image_digest=digest,
            release=release.version,
            group=group,
        )

    def _run(self, job: Job, machine: Machine, timeout: float, what: str, said: str) -> None:
        try:
            self._lifecycle.bring_up(machine.id, source="flyd")
            rest = self._machines.wait(
                machine.app, machine.id, states=frozenset({"stopped", "failed"}), timeout=timeout
            )
            try:
                ended = tell_while(self._core, rest, machine.id, job, quiet=0.0)
            except TimedOut:
                with contextlib.suppress(RoostError):  # asked to end as its configuration says, before it goes
                    self._lifecycle.stop(machine.id, source="flyd")
                raise Unprocessable(
                    f"{what} did not end within {timeout:g} s: {said}", hint="see its log above"
                ) from None
            if ended.last_exit is None or ended.last_exit.exit_code or ended.last_exit.signal:
                how = ended.last_exit.describe() if ended.last_exit else "did not end properly"
                raise Unprocessable(f"{what} {how}: {said}", hint="fix it and deploy again")
        finally:
            self._lifecycle.destroy(machine.id, source="flyd")


def _configs(release: Release) -> Mapping[str, MachineConfig]:
    image = release.image_reference or release.image_digest
    return machine_configs(release.config, image=image, plan_processes=release.processes, release=release.version)


def _alone(config: MachineConfig, told: Mapping[str, str]) -> MachineConfig:
    """Return the configuration of a machine that serves nobody, has no volume and runs once."""
    return replace(
        config,
        services=(),
        checks={},
        mounts=(),
        metrics=None,
        statics=(),
        env={**config.env, **told},
        restart=Restart("no"),
        schedule=None,
        standbys=(),
        dns=replace(config.dns, skip_registration=True),
        containers=(),
        volumes=(),
    )
