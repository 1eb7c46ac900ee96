"""Source and plan to image: dependencies, source and build commands, each a layer, each made once.

Owns no state of its own: layers are in the store, keyed by what decides them (`build_keys`), and
download caches are below `build-cache/<app>` on the pool. A change of the code alone makes one new layer
and starts no machine, unless the plan has build commands. A build that fails, is cancelled or killed
leaves only finished layers, which the next one takes up.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from roost.build.build_caches import BuildCaches
from roost.build.build_keys import build_key, dependencies_key, file_digests, source_key, tree_digest
from roost.build.build_machine import Address, BuildHost, BuildMachines, Limits, Step, scrub
from roost.build.contract import BuildRequest, RegistrySettings, Report
from roost.build.dockerfile import DockerfileBuilds
from roost.build.runner import Runner
from roost.build.store import LocalImageStore, copy_tree
from roost.host.contract import BindMount
from roost.model.build_plan import BuildPlan
from roost.model.cloud import Cloud
from roost.model.errors import Conflict, Unprocessable
from roost.model.image import Image, ImageConfig, parse_image_ref
from roost.model.names import check_app_name, check_machine_id

# Runs each argument as a shell command, shows it first, and stops at the first that fails.
DRIVER = 'for c in "$@"; do printf "$ %s\\n" "$c"; /bin/sh -e -c "$c" || exit $?; done'
_WORDS = re.compile(r"[\w@%+=:,./ $\"'{}\-\[\]*?~^!#]*")  # a command line without the shell's operators
_NOT_A_PROGRAM = re.compile(
    r"\s*(?:\w+=|(?:cd|export|set|unset|if|for|while|case|until|trap|ulimit|umask|eval|exec|\.|source|[{!])(?:\s|$))"
)


class MachineBuilder:
    """`Builder` on this host."""

    def __init__(
        self,
        cloud: Cloud,
        store: LocalImageStore,
        host: BuildHost,
        run: Runner,
        address: Address,
        *,
        limits: Limits | None = None,
        registries: RegistrySettings | None = None,
    ) -> None:
        self._store, self._run = store, run
        self._machines = BuildMachines(host, address, limits or Limits())
        self._caches = BuildCaches(cloud.pool / "build-cache")
        self._scratch = cloud.pool / "build-scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)  # of builds that a kill of roostd ended
        self._scratch.mkdir(mode=0o700)
        self._dockerfiles = DockerfileBuilds(
            cloud, store, self._machines, run, registries or store.registries, self._caches, self._scratch
        )

    def build(self, request: BuildRequest, report: Report, cancelled: Event) -> Image:
        """Build; raises Unprocessable with the last lines of output when a step of the user's code fails."""
        check_machine_id(request.id)
        check_app_name(request.app)
        plan = request.plan
        if not plan.buildable:
            raise Unprocessable(f"this {plan.stack} app can't be built: {plan.obstacle}", hint="add a Dockerfile")
        began = time.monotonic()
        with self._store.building(), self._caches.in_use(request.app):
            if plan.dockerfile:
                image = self._dockerfiles.build(request, report, cancelled)
            else:
                image = self._build_plan(request, report, cancelled)
        report(f"built {image.digest[:19]} in {time.monotonic() - began:.1f} s")
        return image

    def forget(self, app: str) -> None:
        """Remove what builds of an app that is no more kept for its next one."""
        self._caches.forget(app)

    def _build_plan(self, request: BuildRequest, report: Report, cancelled: Event) -> Image:
        plan = request.plan
        base = self._store.ensure(parse_image_ref(plan.base), report, cancelled)
        layers = base.layers
        if plan.dependencies and plan.dependencies.commands:
            layers = (*layers, self._dependencies(request, base, report, cancelled))
        if cancelled.is_set():
            raise Conflict("the build was cancelled", code="cancelled")
        layers = (*layers, self._source(request, report))
        if plan.build_commands:
            layers = (*layers, self._build_commands(request, base, layers, report, cancelled))
        config = image_config(base.config, plan, request.app)
        return self._store.seal(layers, config, f"roost/apps/{request.app}:{request.id}")

    def _dependencies(self, request: BuildRequest, base: Image, report: Report, cancelled: Event) -> str:
        plan = request.plan
        assert plan.dependencies is not None
        files = file_digests(request.source, plan.dependencies.files)
        key = f"deps-{dependencies_key(base.layers, plan, files, request.build_args)}"
        if not request.no_cache and (layer := self._store.find_layer(key)):
            report("dependencies: nothing has changed, taken as they were")
            return layer
        report(f"dependencies: installing ({', '.join(plan.dependencies.files) or 'no lock file'})")
        with self._only(request.source, files, plan.workdir, request.id) as tree:
            step = self._step(
                request, base, (*self._paths(base.layers), tree), plan.dependencies.commands, plan.dependencies.caches
            )
            return self._run_step(step, key, f"{request.app}/deps", request.no_cache, report, cancelled)

    def _source(self, request: BuildRequest, report: Report) -> str:
        layer_id = f"src-{source_key(tree_digest(request.source), request.plan.workdir)}"
        if not self._store.has_layer(layer_id):
            with self._store.making_layer(layer_id) as tree:
                place = tree / request.plan.workdir.strip("/")
                place.mkdir(parents=True, exist_ok=True)
                copy_tree(self._run, request.source, place)
                place.chmod(0o755)
        report("source: added")
        return layer_id

    def _build_commands(
        self, request: BuildRequest, base: Image, below: tuple[str, ...], report: Report, cancelled: Event
    ) -> str:
        plan = request.plan
        key = f"build-{build_key(below, plan, request.build_args)}"
        if not request.no_cache and not request.secrets and (layer := self._store.find_layer(key)):
            report("build: nothing has changed, taken as it was")
            return layer
        report("build: running the build commands")
        step = self._step(request, base, self._paths(below), plan.build_commands, plan.build_caches)
        again = request.no_cache or bool(request.secrets)
        return self._run_step(step, key, "", again, report, cancelled)

    def _step(
        self,
        request: BuildRequest,
        base: Image,
        layers: tuple[Path, ...],
        commands: tuple[str, ...],
        caches: tuple[str, ...],
    ) -> Step:
        return Step(
            machine_id=request.id,
            app=request.app,
            what=f"`{commands[0].splitlines()[0][:80]}`" if len(commands) == 1 else "the build",
            layers=layers,
            argv=("/bin/sh", "-c", DRIVER, "build", *commands),
            env=build_environment(base.config, request),
            cwd=request.plan.workdir,
            binds=tuple(BindMount(self._caches.path(request.app, at), at, read_only=False) for at in caches),
            masked=tuple(request.secrets.values()),
        )

    def _run_step(self, step: Step, key: str, owner: str, again: bool, report: Report, cancelled: Event) -> str:
        """Run a step and keep what it changed as a layer; `again` makes a new layer beside the one of the same key."""
        layer_id = f"{key}-{step.machine_id}" if again else key
        with self._machines.run(step, report, cancelled) as upper:
            scrub(upper, tuple(bind.target for bind in step.binds))
            return self._store.add_layer(upper, layer_id=layer_id, owner=owner)

    @contextmanager
    def _only(self, source: Path, files: Mapping[str, str], workdir: str, build_id: str) -> Iterator[Path]:
        """Give a layer with only the named files of the source in the work directory."""
        tree = self._scratch / build_id
        shutil.rmtree(tree, ignore_errors=True)
        try:
            place = tree / workdir.strip("/")
            place.mkdir(parents=True)
            for path in files:
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                if (source / path).is_dir() and not (source / path).is_symlink():
                    (place / path).mkdir(exist_ok=True)
                else:
                    shutil.copy2(source / path, place / path, follow_symlinks=False)
            yield tree
        finally:
            shutil.rmtree(tree, ignore_errors=True)

    def _paths(self, layers: tuple[str, ...]) -> tuple[Path, ...]:
        return self._store.paths_of(layers)


def build_environment(base: ImageConfig, request: BuildRequest) -> dict[str, str]:
    """Return what build commands see: the base's variables, the plan's, build arguments, then secrets."""
    env = dict(item.split("=", 1) for item in base.env)
    return env | {"HOME": "/root", "LANG": "C.UTF-8", "PORT": str(request.plan.port)} | dict(request.plan.env) | dict(
        request.build_args
    ) | dict(request.secrets)  # fmt: skip


def image_config(base: ImageConfig, plan: BuildPlan, app: str) -> ImageConfig:
    """Return how the built image runs: the web process of the plan, on the base's variables and the plan's."""
    env = dict(item.split("=", 1) for item in base.env) | {"PORT": str(plan.port)} | dict(plan.env)
    command = plan.processes.get("app", "")
    labels = {"roost.app": app, "roost.stack": plan.stack} | (
        {"roost.framework": plan.framework} if plan.framework else {}
    )
    return ImageConfig(
        cmd=start_command(command) if command else base.cmd,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        workdir=plan.workdir,
        exposed_ports=(plan.port,),
        labels=labels,
    )


def start_command(command: str) -> tuple[str, ...]:
    """Return the argument list that starts a shell command line, without a shell left between when it is simple."""
    simple = _WORDS.fullmatch(command) and not _NOT_A_PROGRAM.match(command)
    return ("/bin/sh", "-c", f"exec {command}" if simple else command)
