"""Building Dockerfiles: buildah with chroot isolation, inside a build machine.

Owns, on the pool, `containers/` in one of the app's caches (buildah's storage: the layer cache between
its builds) and `images/layouts` (the images Dockerfiles start from, as OCI layouts). The host brings those
images, so neither registry passwords nor other apps' images are inside the machine. Build secrets are
files on memory, gone with the build. Builds of one app run one after another, since they share a cache.
`no_cache` begins the cache anew, also after a kill in the middle that damaged it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

from roost.build.build_caches import BuildCaches
from roost.build.build_keys import safe_path
from roost.build.build_machine import BuildMachines, Step
from roost.build.contract import BuildRequest, RegistrySettings, Report
from roost.build.dockerfile_parse import MAX_BYTES, Dockerfile, parse_dockerfile
from roost.build.oci_export import export_layout
from roost.build.oci_layout import read_layout
from roost.build.registry import pull
from roost.build.runner import Runner
from roost.build.store import LocalImageStore, copy_tree
from roost.build.turns import turn
from roost.host.contract import BindMount
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, HostFailure
from roost.model.image import Image, ImageRef, parse_image_ref
from roost.plan.image_access import check_usable

BUILDAH_IMAGE = "roost/buildah:bookworm"
LAYOUT_AGE = 7 * 86400.0  # seconds after which a layout that no build used is removed
_LOCK_TIMEOUT = 1800.0
# Arguments: how many images to load, NAME LAYOUT ID for each, then buildah's options and the context.
_SCRIPT = r"""
set -eu
loaded=$1; shift
while [ "$loaded" -gt 0 ]; do
  buildah tag "$3" "$1" 2>/dev/null || {
    echo "loading $1"
    buildah tag "$(buildah pull --quiet "oci:$2:image")" "$1"
  }
  loaded=$((loaded - 1)); shift 3
done
buildah build --isolation chroot --network host --layers --format oci --pull=false \
  --tag localhost/roost-result:build "$@"
echo 'taking the result'
buildah push --quiet --disable-compression --format oci localhost/roost-result:build oci:/roost/out:image
"""
_STORAGE_CONF = (
    '[storage]\ndriver = "overlay"\nrunroot = "/run/containers"\ngraphroot = "/var/lib/containers/storage"\n'
)
_REGISTRIES_CONF = 'unqualified-search-registries = ["{registry}"]\nshort-name-mode = "permissive"\n'


class DockerfileBuilds:
    """Turns a source tree with a Dockerfile into an image."""

    def __init__(
        self,
        cloud: Cloud,
        store: LocalImageStore,
        machines: BuildMachines,
        run: Runner,
        registries: RegistrySettings,
        caches: BuildCaches,
        scratch: Path,
    ) -> None:
        self._store, self._machines, self._run, self._registries = store, machines, run, registries
        self._caches, self._scratch = caches, scratch
        self._layouts = cloud.pool / "images" / "layouts"
        self._secrets = cloud.run / "build-secrets"
        shutil.rmtree(self._secrets, ignore_errors=True)  # of builds that a kill of roostd ended

    def build(self, request: BuildRequest, report: Report, cancelled: Event) -> Image:
        """Build the Dockerfile that the plan names; raises Unprocessable, BadInput, HostFailure or Conflict."""
        dockerfile = self._read(request)
        builder = self._store.ensure(parse_image_ref(BUILDAH_IMAGE), report, cancelled)
        with self._locked(request.app, report, cancelled) as cache:
            loads, known = self._bring(dockerfile, request.apps, report, cancelled)
            with self._workplace(request) as (place, secret_files):
                if request.no_cache:
                    shutil.rmtree(cache, ignore_errors=True)
                cache.mkdir(parents=True, exist_ok=True)
                self._offer_blobs((layout for _, layout in loads), place / "out")
                step = self._step(request, builder, loads, place, secret_files, cache)
                with self._machines.run(step, report, cancelled):
                    pass
                report("unpacking the new layers")
                reference = f"roost/apps/{request.app}:{request.id}"
                image = self._store.import_layout(place / "out", reference, report=report, known=known)
        self._sweep()
        return self._finished(image, request, dockerfile)

    def _finished(self, image: Image, request: BuildRequest, dockerfile: Dockerfile) -> Image:
        """Add what the plan says on top of what the Dockerfile says."""
        env = dict(item.split("=", 1) for item in image.config.env) | dict(request.plan.env)
        ports = image.config.exposed_ports or ((dockerfile.port,) if dockerfile.port else (request.plan.port,))
        env.setdefault("PORT", str(ports[0]))
        labels = {**image.config.labels, "roost.app": request.app, "roost.stack": request.plan.stack}
        config = replace(
            image.config, env=tuple(f"{k}={v}" for k, v in env.items()), exposed_ports=tuple(ports), labels=labels
        )
        return self._store.seal(image.layers, config, image.reference)

    def _read(self, request: BuildRequest) -> Dockerfile:
        path = request.plan.dockerfile
        full = request.source / path
        if not safe_path(path) or full.is_symlink() or not full.is_file():
            raise BadInput(
                f"the source has no file {path[:120]!r}", hint="name the Dockerfile in roost.toml: [build] dockerfile"
            )
        with full.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8", "replace")
        return parse_dockerfile(text, request.build_args, request.target)

    def _bring(
        self, dockerfile: Dockerfile, apps: Mapping[str, float], report: Report, cancelled: Event
    ) -> tuple[list[tuple[str, Path]], dict[str, str]]:
        """Bring the images it starts from; return (name, layout) of each, and their layers that are in the store."""
        self._layouts.mkdir(parents=True, exist_ok=True)
        loads: list[tuple[str, Path]] = []
        known: dict[str, str] = {}
        for text in dockerfile.images:
            ref = parse_image_ref(text, default_registry=self._registries.default_registry)
            if ref.is_local:
                image = check_usable(ref, self._store.ensure(ref, report, cancelled), apps)
                layout = self._layouts / image.digest.replace(":", "-")
                export_layout(image, self._store.layer_paths(image), layout)
                known |= self._store.known_layers(layout)
                loads.append((f"localhost/{ref}", layout))
            else:
                loads.append((str(ref), self._layout(ref, report, cancelled)))
            os.utime(loads[-1][1])
        return loads, known

    def _offer_blobs(self, layouts: Iterable[Path], out: Path) -> None:
        """Put the layers it starts from where the result goes, so that buildah need not write them again.

        They are copies that share blocks: the build machine may write to its own, not to the originals.
        """
        blobs = out / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for layout in layouts:
            for layer in read_layout(layout).layers:
                if layer.digest == layer.diff_id:  # buildah looks for layers as it would write them: plain tars
                    copy_tree(self._run, layer.path, blobs / layer.path.name)

    def _layout(self, ref: ImageRef, report: Report, cancelled: Event) -> Path:
        layout = self._layouts / f"ref-{hashlib.sha256(str(ref).encode()).hexdigest()[:32]}"
        had = (layout / "index.json").exists()
        try:
            pull(self._run, ref, layout, self._registries, report, cancelled)
        except HostFailure as failure:
            if not had:
                raise
            report(f"{failure.message}; building on the copy that is here")
        return layout

    def _step(
        self,
        request: BuildRequest,
        builder: Image,
        loads: list[tuple[str, Path]],
        place: Path,
        secret_files: dict[str, str],
        cache: Path,
    ) -> Step:
        binds = [
            BindMount(request.source, "/roost/context"),
            BindMount(place / "out", "/roost/out", read_only=False),
            BindMount(cache, "/var/lib/containers", read_only=False),
            BindMount(place / "registries.conf", "/etc/containers/registries.conf"),
            BindMount(place / "storage.conf", "/etc/containers/storage.conf"),
        ]
        pairs: list[str] = []
        for number, (name, layout) in enumerate(loads):
            binds.append(BindMount(layout, f"/roost/from/{number}"))
            pairs += [name, f"/roost/from/{number}", read_layout(layout).config_digest.removeprefix("sha256:")]
        options = ["--file", f"/roost/context/{request.plan.dockerfile}"]
        options += [f"--build-arg={name}={value}" for name, value in request.build_args.items()]
        if request.target:
            options.append(f"--target={request.target}")
        if request.no_cache:
            options.append("--no-cache")
        if secret_files:
            binds.append(BindMount(self._secrets / request.id, "/roost/secrets"))
            options += [f"--secret=id={name},src=/roost/secrets/{file}" for name, file in secret_files.items()]
        return Step(
            machine_id=request.id,
            app=request.app,
            what="the Dockerfile",
            layers=self._store.layer_paths(builder),
            argv=("/bin/sh", "-c", _SCRIPT, "build", str(len(loads)), *pairs, *options, "/roost/context"),
            env={"HOME": "/root", "LANG": "C.UTF-8", "TMPDIR": "/var/tmp", "BUILDAH_ISOLATION": "chroot"},  # noqa: S108
            binds=tuple(binds),
            masked=tuple(request.secrets.values()),
            builder=True,
        )

    @contextmanager
    def _workplace(self, request: BuildRequest) -> Iterator[tuple[Path, dict[str, str]]]:
        """Give a directory with the output directory and buildah's settings, and the secrets' file names."""
        place, hidden = self._scratch / request.id, self._secrets / request.id
        files: dict[str, str] = {}
        try:
            for directory in (place, hidden):
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir(parents=True, mode=0o700)
            (place / "out").mkdir()
            (place / "storage.conf").write_text(_STORAGE_CONF)
            (place / "registries.conf").write_text(_REGISTRIES_CONF.format(registry=self._registries.default_registry))
            for number, (name, value) in enumerate(request.secrets.items()):
                files[name] = f"{number}-{secrets.token_hex(4)}"
                descriptor = os.open(hidden / files[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as file:
                    file.write(value)
            yield place, files
        finally:
            for directory in (hidden, place):
                shutil.rmtree(directory, ignore_errors=True)

    @contextmanager
    def _locked(self, app: str, report: Report, cancelled: Event) -> Iterator[Path]:
        """Give the app's layer cache, to one build at a time."""
        directory = self._caches.path(app, "/var/lib/containers")
        before = f"another build of {app}"
        with turn(directory / "lock", waits_for=before, patience=_LOCK_TIMEOUT, report=report, cancelled=cancelled):
            yield directory / "containers"

    def _sweep(self) -> None:
        for layout in self._layouts.iterdir():
            if layout.stat().st_mtime < time.time() - LAYOUT_AGE:
                shutil.rmtree(layout, ignore_errors=True)
