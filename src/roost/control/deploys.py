"""Deploys: from a source directory or an image to machines that serve it.

The operation's steps: find out what the source is, build the image, record the release, run the release
command, roll out. Each step reads what the ones before it left in the operation's result, so it can be
run again after a kill of roostd. A release that does not become healthy is taken back by rolling out the
one before it; the old machines serve all the while.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

from roost.build.contract import BuildRequest
from roost.build.detect import detect
from roost.control.capacity import require_room
from roost.control.container_images import apps_beside, image_for
from roost.control.contract import DeployRequest
from roost.control.core import Core
from roost.control.errands import Errands
from roost.control.operations import Job, Operations, Step
from roost.control.public_ports import claim_ports
from roost.control.rollout import Rollout, autoscale_policies
from roost.control.secrets import Secrets
from roost.control.sources import Sources
from roost.model.app import Release, ReleaseState
from roost.model.app_config import AppConfig
from roost.model.app_config_check import check_app_config
from roost.model.app_config_read import app_config_from_json, app_config_to_json
from roost.model.build_plan import BuildPlan
from roost.model.errors import BadInput, NotFound, Unprocessable
from roost.model.image import parse_image_ref
from roost.model.operation import Operation
from roost.plan.public_ports import places_of

STEPS = ("detect", "build", "release", "release_command", "rollout", "complete")


class Deploys:
    """The verbs deploy and rollback."""

    def __init__(
        self,
        core: Core,
        operations: Operations,
        sources: Sources,
        secrets: Secrets,
        rollout: Rollout,
        errands: Errands,
    ) -> None:
        self._errands = errands
        self._core = core
        self._secrets = secrets
        self._operations = operations
        self._sources = sources
        self._rollout = rollout
        verbs = (
            Step(STEPS[0], "Looking at the source", self._detect, silent=_has_no_source),
            Step(STEPS[1], "Building the image", self._build),
            Step(STEPS[2], "Recording the release", self._release, self._fail_release),
            Step(STEPS[3], "Running the release command", self._release_command, silent=self._has_no_command),
            Step(STEPS[4], "Rolling out", self._roll_out, self._roll_back),
            Step(STEPS[5], "Finishing", self._complete),
        )
        operations.define("deploy", verbs)

    def start(self, app: str, request: DeployRequest) -> Operation:
        """Begin a deploy; with neither source nor image, the current image is released again."""
        self._core.store.apps.get(app)
        if request.source and request.image:
            raise BadInput("give a source or an image, not both")
        if request.source:
            self._sources.path(request.source)
        if request.image:
            parse_image_ref(request.image)
        current = self.current(app)
        config = request.config or (current.config if current else AppConfig(app=app))
        if current is None and not (request.source or request.image or config.build.image):
            raise BadInput(f"{app} has no release to deploy again", hint="deploy a source: roost deploy DIR")
        image = request.image or config.build.image
        check_app_config(config, _processes(image, request.source, current))
        claim_ports(self._core, app, [service for _, service in config.services])
        arguments: dict[str, object] = {
            "source": request.source,
            "image": image,
            "config": app_config_to_json(config),
            "build_args": {**config.build.args, **request.build_args},
            "no_cache": request.no_cache,
            "reason": "",
        }
        require_room(self._core.host, f"a new release of {app}")
        return self._operations.start("deploy", app=app, arguments=arguments, secrets=request.build_secrets)

    def rollback(self, app: str, version: int) -> Operation:
        """Begin deploying an earlier release again; 0 means the complete one before the current."""
        self._core.store.apps.get(app)
        target = self._target(app, version)
        claim_ports(self._core, app, [service for _, service in target.config.services])
        arguments: dict[str, object] = {
            "source": "",
            "image": "",
            "release": target.version,
            "config": app_config_to_json(target.config),
            "build_args": {},
            "no_cache": False,
            "reason": f"rollback to v{target.version}",
        }
        require_room(self._core.host, f"a new release of {app}")
        return self._operations.start("deploy", app=app, arguments=arguments)

    def current(self, app: str) -> Release | None:
        """Return the newest complete release, or None."""
        complete = [r for r in self._core.store.releases.list(app) if r.state is ReleaseState.COMPLETE]
        return complete[0] if complete else None

    def _target(self, app: str, version: int) -> Release:
        if version:
            return self._core.store.releases.get(app, version)
        complete = [r for r in self._core.store.releases.list(app) if r.state is ReleaseState.COMPLETE]
        if len(complete) < 2:
            raise NotFound(f"{app} has no earlier release to go back to", hint=f"roost releases -a {app} lists them")
        return complete[1]

    def _detect(self, job: Job) -> None:
        if _has_no_source(job):
            return
        source = str(job.arguments["source"])
        plan, config, _text = self._sources.plan(source, _config(job), job.app)
        for line in plan.evidence:
            job.report(line)
        if not plan.buildable:
            raise Unprocessable(f"this {plan.stack} app can't be built here: {plan.obstacle}", hint="add a Dockerfile")
        self._generate_secrets(job, plan)
        job.keep(config=app_config_to_json(config))

    def _generate_secrets(self, job: Job, plan: BuildPlan) -> None:
        """Set the secrets that the framework needs and that any random text will do for, unless they are set."""
        there = {secret.name for secret in self._secrets.list(job.app)}
        missing = [name for name in plan.generated_secrets if name not in there]
        if missing:
            self._secrets.set(job.app, {name: secrets.token_hex(16) for name in missing})
            job.report(f"set {', '.join(missing)} to random values")

    def _build(self, job: Job) -> None:
        if "image_digest" in job.result:
            return
        config = app_config_from_json(job.result.get("config") or job.arguments["config"])
        processes: dict[str, str] = {}
        if "release" in job.arguments:
            old = self._core.store.releases.get(job.app, _int(job.arguments["release"]))
            image, processes = self._core.images.get(old.image_digest), old.processes
        elif job.arguments["image"]:
            image = image_for(self._core, job.app, str(job.arguments["image"]), job.report, job.cancelled)
        elif job.arguments["source"]:
            path = self._sources.path(str(job.arguments["source"]))
            plan: BuildPlan = detect(self._sources.tree(str(job.arguments["source"])), config)
            request = BuildRequest(
                id=self._core.new_machine_id(),
                app=job.app,
                source=path,
                plan=plan,
                build_args=_strings(job.arguments["build_args"]),
                target=config.build.target,
                secrets=job.secrets,
                no_cache=bool(job.arguments["no_cache"]),
                apps=apps_beside(self._core, job.app),
            )
            image, processes = self._core.builder.build(request, job.report, job.cancelled), dict(plan.processes)
            if plan.release_command and not config.deploy.release_command:
                deploy = replace(config.deploy, release_command=plan.release_command)
                config = replace(config, deploy=deploy)
        else:
            current = self.current(job.app)
            if current is None:
                raise NotFound(f"{job.app} has no release to deploy again")
            image, processes = self._core.images.get(current.image_digest), current.processes
        check_app_config(config, processes)
        job.keep(
            image_digest=image.digest,
            image_reference=image.reference,
            processes=processes,
            config=app_config_to_json(config),
        )
        job.report(f"image {image.digest[:19]} ({image.size_bytes / 1e6:.0f} MB)")

    def _release(self, job: Job) -> None:
        if "version" in job.result:
            return
        begun = [r for r in self._core.store.releases.list(job.app) if r.created_at >= job.operation.created_at]
        release = begun[0] if begun else None
        if release is None:
            release = self._core.store.releases.add(
                job.app,
                image_digest=str(job.result["image_digest"]),
                image_reference=str(job.result["image_reference"]),
                config=_config(job),
                processes=_strings(job.result["processes"]),
                reason=str(job.arguments["reason"]),
                now=self._core.now(),
            )
        self._core.fault("deploy.release.added")
        job.keep(version=release.version)
        job.report(f"release v{release.version}")

    def _fail_release(self, job: Job) -> None:
        if "version" in job.result:
            reason = job.operation.error or "cancelled"
            self._core.store.releases.set_state(job.app, _int(job.result["version"]), ReleaseState.FAILED, reason)

    def _has_no_command(self, job: Job) -> bool:
        return not self._commands(job)

    def _commands(self, job: Job) -> list[tuple[str, str]]:
        """Return what runs before the rollout: how it is called, and the command line."""
        deploy = self._core.store.releases.get(job.app, _int(job.result["version"])).config.deploy
        seed = "" if self.current(job.app) else deploy.seed_command
        both = (("release command", deploy.release_command), ("seed command", seed))
        return [(what, command) for what, command in both if command]

    def _release_command(self, job: Job) -> None:
        release = self._core.store.releases.get(job.app, _int(job.result["version"]))
        for what, command in self._commands(job):
            self._errands.command(job, release, command, what)

    def _roll_out(self, job: Job) -> None:
        release = self._core.store.releases.get(job.app, _int(job.result["version"]))
        self._rollout.to(release, job)

    def _roll_back(self, job: Job) -> None:
        if "version" not in job.result:
            return
        failed = _int(job.result["version"])
        job.report("Taking the release back", "log")
        previous = self.current(job.app)
        if previous is None:
            self._rollout.remove(job.app, failed)
        else:
            self._rollout.back_to(previous, job)

    def _complete(self, job: Job) -> None:
        version = _int(job.result["version"])
        self._core.store.releases.set_state(job.app, version, ReleaseState.COMPLETE, str(job.arguments["reason"]))
        release = self._core.store.releases.get(job.app, version)
        self._core.store.autoscale.deployed(job.app, autoscale_policies(release))
        url = self._core.app_url(job.app)
        job.keep(url=url)
        counts = self._rollout.counts(release)
        for group in [group for group, count in counts.items() if not count]:
            job.report(f"{group} has no machines, as before; for one: roost scale count {group}=1 -a {job.app}")
        services = [
            service for machine in self._core.store.machines.list(job.app) for service in machine.config.services
        ]
        host = self._core.cloud.app_host(job.app)
        if places := places_of(services, url=url, host=host, rules=self._core.port_rules):
            job.report(f"v{version} serves {', '.join(places)}")
        elif not _config(job).services:
            job.report(f"v{version} runs; no request reaches it, as its roost.toml has no [http_service]")


def _processes(image: str, source: str, current: Release | None) -> Mapping[str, str] | None:
    """Return the process groups of what is to be deployed, as far as its image names some; None: not known yet."""
    if image:
        return {}
    return current.processes if current and not source else None


def _has_no_source(job: Job) -> bool:
    return not job.arguments["source"] or bool(job.arguments["image"])


def _config(job: Job) -> AppConfig:
    return app_config_from_json(job.result.get("config") or job.arguments["config"])


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not a whole number")
    return value


def _strings(value: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}
