"""The image store of one cloud: what images there are, and the layers they are made of.

Owns `images/` and `layers/` on the pool, and shares the host's base layers with other clouds: each
cloud writes to `cache/uses/<cloud id>.json` which shared layers its images stand on, and only layers
that no living cloud uses are removed. Invariant: an image in the records has all its layers. Calls for
one reference are joined, so that it is pulled once. After a kill in the middle, half-made layers and
files are swept at the next start, and a pull goes on from the blobs that had arrived.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from roost.build.archive import apply_layer
from roost.build.base_images import no_such_base, recipe_for
from roost.build.base_maker import BaseMaker
from roost.build.contract import RegistrySettings, Report
from roost.build.image_records import ImageRecords, image_digest
from roost.build.layers import LayerRecord, LayerShelf, write_json
from roost.build.oci_export import LAYERS_FILE
from roost.build.oci_layout import LayerBlob, OciImage, read_layout
from roost.build.registry import pull
from roost.build.runner import Runner
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, Conflict, HostFailure, NotFound
from roost.model.image import Image, ImageConfig, ImageRef

KEPT_PER_OWNER = 3  # layers kept for the next build of each app, per sort, although no image uses them
_MANY_LAYERS = 40  # beyond this an image is flattened: each layer is a mount of its own at a machine's start
_GRACE = 300.0  # seconds for which an image that was just made or asked for is not garbage


class LocalImageStore:
    """`ImageStore` on this host's disk. The pool must be mounted when it is made."""

    def __init__(
        self, cloud: Cloud, run: Runner, registry_settings: RegistrySettings, *, grace: float = _GRACE
    ) -> None:
        self.layers = LayerShelf(cloud.layers)
        self.shared = LayerShelf(cloud.shared_layers)
        self.bases = BaseMaker(cloud.cache, self.shared, run)
        self._cloud, self._run, self.registries, self._grace = cloud, run, registry_settings, grace
        self._records = ImageRecords(cloud.pool / "images")
        self._pulls = cloud.pool / "images" / "pulls"
        self._uses = cloud.cache / "uses"
        self._guard = threading.RLock()  # records, recent and locks; never held over a pull
        self._locks: dict[str, threading.Lock] = {}
        self._recent: dict[str, float] = {}  # image digest or layer id -> when it was last handed out
        self._builds: dict[object, float] = {}  # builds under way -> when they began
        for part in (self.layers, self.shared, self.bases, self._records):
            part.open()  # makes directories, sweeps what killed processes left
        self._pulls.mkdir(parents=True, exist_ok=True)
        self._uses.mkdir(parents=True, exist_ok=True)

    def get(self, digest: str) -> Image:
        """Return an image by digest; raises NotFound."""
        image = self._records.get(digest)
        if image is None:
            raise NotFound(f"image {digest[:80]} is not on this host", hint="roost image list shows what is")
        return self._handed_out(image)

    def resolve(self, ref: ImageRef) -> Image | None:
        """Return the local image a reference names now, or None when it must be pulled or made first."""
        image = self._records.get(ref.digest) if ref.digest else None
        image = image or self._records.named(str(ref))
        recipe = recipe_for(ref)
        if image is None or (recipe is not None and image.config != recipe.config()) or not self._is_whole(image):
            return None
        return self._handed_out(image)

    def ensure(self, ref: ImageRef, report: Report, cancelled: Event) -> Image:
        """Return the image, pulling or making it if it is not here; raises NotFound, HostFailure or Conflict."""
        image = self.resolve(ref)
        if image is not None:
            return image
        with self._joined(str(ref), cancelled):
            return self.resolve(ref) or self._fetch(ref, report, cancelled, fresh=False)

    def refresh(self, ref: ImageRef, report: Report, cancelled: Event) -> Image:
        """Make or pull it again even if it is here."""
        with self._joined(str(ref), cancelled):
            return self._fetch(ref, report, cancelled, fresh=True)

    def seal(self, layers: tuple[str, ...], config: ImageConfig, reference: str) -> Image:
        """Record an image made of layers that are in the store; raises NotFound when one is not."""
        return self._record(image_digest(layers, config), reference, layers, config)

    def add_layer(self, tree: Path, *, layer_id: str, owner: str = "") -> str:
        """Copy a finished tree (overlay form, ids 0..65535) into the store under `layer_id`; returns it."""
        with self.making_layer(layer_id, owner=owner) as made:
            copy_tree(self._run, tree, made)
        return layer_id

    @contextmanager
    def making_layer(self, layer_id: str, *, owner: str = "") -> Iterator[Path]:
        """Give an empty directory that becomes the layer when the block ends without an error."""
        with self.layers.making(layer_id, owner=owner) as tree:
            yield tree
        self._recent[layer_id] = time.time()

    def has_layer(self, layer_id: str) -> bool:
        """Return whether the layer is here, and keep it for a while if so."""
        if self.layers.get(layer_id) is None:
            return False
        self.layers.touch(layer_id)
        self._recent[layer_id] = time.time()
        return True

    @contextmanager
    def building(self) -> Iterator[None]:
        """Keep from collection, for the length of the block, all that is made or handed out during it."""
        token = object()
        with self._guard:
            self._builds[token] = time.time()
        try:
            yield
        finally:
            with self._guard:
                now = time.time()  # the grace of what this build used begins at its end
                began = self._builds.pop(token)
                self._recent = {key: max(at, now) if at >= began else at for key, at in self._recent.items()}

    def find_layer(self, key: str) -> str:
        """Return the id of the newest layer made under `key` (or under `key-...`), kept for a while; "" for none."""
        layer_id = self.layers.newest(key)
        return layer_id if layer_id and self.has_layer(layer_id) else ""

    def paths_of(self, layers: tuple[str, ...]) -> tuple[Path, ...]:
        """Return the directories of layers by id; raises NotFound."""
        return tuple(self._layer(layer)[0] for layer in layers)

    def layer_paths(self, image: Image) -> tuple[Path, ...]:
        """Return the directories to mount, lowest first; raises NotFound when a layer is gone."""
        return self.paths_of(image.layers)

    def list(self) -> list[Image]:
        """Return all the images, newest first."""
        return self._records.list()

    def import_layout(
        self, layout: Path, reference: str, *, report: Report, known: Mapping[str, str] | None = None
    ) -> Image:
        """Record the image of an OCI layout. Its layers are flattened into one, as pulled images are.

        With `known` (diff_id -> layer id) layers that are here already are shared and the others are kept
        apart, so that the next build unpacks only what is new.
        """
        oci = read_layout(layout)
        if known is None or len(oci.layers) > _MANY_LAYERS:
            layers: tuple[str, ...] = (self._flatten(oci, report),)
        else:
            layers = tuple(self._import_layer(layer, known) for layer in oci.layers)
        return self._record(oci.digest, reference, layers, oci.config)

    def known_layers(self, layout: Path) -> dict[str, str]:
        """Return diff_id -> layer id of a layout that was exported from this store."""
        known = json.loads((layout / LAYERS_FILE).read_text())
        return {diff_id: layer for diff_id, layer in known.items() if self.layers.get(layer) or self.shared.get(layer)}

    def collect(self, in_use: Iterable[str]) -> int:
        """Remove images and layers not reachable from the digests `in_use`; returns the bytes freed.

        Kept besides: base images as they are now, what was handed out in the last minutes, and the latest
        layers of each app's dependencies, since the next build needs them.
        """
        with self._guard:
            kept_digests = set(in_use) | self._fresh_ids()
            layers: set[str] = self._fresh_ids() | self._kept_for_builds()
            for image in self._records.list():
                if image.digest in kept_digests or self._is_current_base(image):
                    layers.update(image.layers)
                else:
                    self._records.remove(image.digest)
            freed = sum(self.layers.remove(r.id) for r in self.layers.list() if r.id not in layers)
            self._write_uses()
        self._sweep_pulls()
        return freed + self._collect_shared()

    # -- how images come to be

    def _fetch(self, ref: ImageRef, report: Report, cancelled: Event, *, fresh: bool) -> Image:
        if not ref.is_local:
            return self._pull(ref, report, cancelled)
        recipe = recipe_for(ref)
        if recipe is None:
            raise no_such_base(ref)
        with self._shared_lock():  # so that no other cloud collects the layers before this one is noted as a user
            base = None if fresh else self.bases.current(recipe)
            if base is not None:
                return self._record(base.digest, str(ref), base.layers, base.config, base.created_at)
        try:
            base = self.bases.ensure(recipe, report, cancelled, fresh=fresh)
        except HostFailure as failure:
            older = self._records.named(str(ref))  # made by an earlier version of the recipe
            if fresh or older is None or not self._is_whole(older):
                raise
            report(f"{failure.message}; going on with the {ref} that is here")
            return self._handed_out(older)
        with self._shared_lock():
            return self._record(base.digest, str(ref), base.layers, base.config, base.created_at)

    def _pull(self, ref: ImageRef, report: Report, cancelled: Event) -> Image:
        layout = self._pulls / hashlib.sha256(str(ref).encode()).hexdigest()[:24]
        pull(self._run, ref, layout, self.registries, report, cancelled)
        if cancelled.is_set():
            raise Conflict("the pull was cancelled", code="cancelled")
        report(f"unpacking {ref}")
        try:
            return self.import_layout(layout, str(ref), report=report)
        finally:
            shutil.rmtree(layout, ignore_errors=True)

    def _flatten(self, oci: OciImage, report: Report) -> str:
        layer_id = f"oci-{oci.digest.removeprefix('sha256:')[:32]}"
        if not self.has_layer(layer_id):
            with self.making_layer(layer_id) as tree:
                for number, layer in enumerate(oci.layers, 1):
                    _apply(layer, tree, overlay=False)
                    report(f"layer {number} of {len(oci.layers)} unpacked")
        return layer_id

    def _import_layer(self, layer: LayerBlob, known: Mapping[str, str]) -> str:
        if layer.diff_id in known:
            return known[layer.diff_id]
        layer_id = f"diff-{layer.diff_id.removeprefix('sha256:')[:32]}"
        if not self.has_layer(layer_id):
            with self.making_layer(layer_id) as tree:
                _apply(layer, tree, overlay=True)
        return layer_id

    def _record(
        self, digest: str, reference: str, layers: tuple[str, ...], config: ImageConfig, made_at: float | None = None
    ) -> Image:
        size = sum(self._layer(layer)[1].bytes for layer in layers)
        image = Image(digest, reference, layers, config, size, time.time() if made_at is None else made_at)
        with self._guard:
            self._records.put(image)
            self._write_uses()
            return self._handed_out(image)

    def _layer(self, layer_id: str) -> tuple[Path, LayerRecord]:
        for shelf in (self.layers, self.shared):
            record = shelf.get(layer_id)
            if record is not None:
                return shelf.path(layer_id), record
        raise NotFound(f"layer {layer_id[:80]} is not on this host", hint="deploy or pull the image again")

    def _is_whole(self, image: Image) -> bool:
        return all(self.layers.get(layer) or self.shared.get(layer) for layer in image.layers)

    def _handed_out(self, image: Image) -> Image:
        self._recent[image.digest] = time.time()
        return image

    @contextmanager
    def _joined(self, key: str, cancelled: Event) -> Iterator[None]:
        """Let one caller per key work while the others wait."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        while not lock.acquire(timeout=0.1):
            if cancelled.is_set():
                raise Conflict("cancelled", code="cancelled")
        try:
            yield
        finally:
            lock.release()

    # -- what is kept

    def _fresh_ids(self) -> set[str]:
        oldest = min([time.time() - self._grace, *self._builds.values()])
        self._recent = {key: at for key, at in self._recent.items() if at >= oldest}
        return set(self._recent)

    def _kept_for_builds(self) -> set[str]:
        by_owner: dict[str, list[str]] = {}
        for record in self.layers.list():
            if record.owner:
                by_owner.setdefault(record.owner, []).append(record.id)
        return {i for ids in by_owner.values() for i in sorted(ids, key=self.layers.used_at)[-KEPT_PER_OWNER:]}

    def _is_current_base(self, image: Image) -> bool:
        named = self._records.named(image.reference) if image.reference.startswith("roost/") else None
        return named is not None and named.digest == image.digest and bool(image.config.labels.get("roost.recipe"))

    def _write_uses(self) -> None:
        shared = {layer for image in self._records.list() for layer in image.layers if self.shared.get(layer)}
        value = {"home": str(self._cloud.home), "layers": sorted(shared)}
        path = self._uses / f"{self._cloud.id}.json"
        try:
            if json.loads(path.read_text()) == value:
                return
        except (FileNotFoundError, ValueError):
            pass
        write_json(path, value)

    def _collect_shared(self) -> int:
        with self._shared_lock():
            used = self.bases.kept_layers()
            for path in self._uses.glob("*.json"):
                try:
                    record = json.loads(path.read_text())
                    if not Path(record["home"]).exists():
                        path.unlink(missing_ok=True)
                        continue
                    used.update(record["layers"])
                except (OSError, ValueError, KeyError, TypeError):
                    return 0  # another cloud's file can't be read: keep everything
            old = [record for record in self.shared.list() if record.made_at <= time.time() - self._grace]
            return sum(self.shared.remove(record.id) for record in old if record.id not in used)

    def _sweep_pulls(self) -> None:
        """Remove blobs of pulls that nobody went on with for a day."""
        for layout in self._pulls.iterdir():
            if layout.is_dir() and layout.stat().st_mtime < time.time() - 86400:
                shutil.rmtree(layout, ignore_errors=True)

    @contextmanager
    def _shared_lock(self) -> Iterator[None]:
        fd = os.open(self._uses / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # held for the reading and writing of a few small files only
            yield
        finally:
            os.close(fd)


def _apply(layer: LayerBlob, tree: Path, *, overlay: bool) -> None:
    with layer.open() as blob:
        try:
            apply_layer(blob, tree, digest=layer.digest, diff_id=layer.diff_id, overlay=overlay)
        except BadInput as error:
            raise HostFailure(f"the image is damaged: {error.message}", hint="pull or build it again") from None


def copy_tree(run: Runner, source: Path, destination: Path) -> None:
    """Copy a tree with owners, modes, links, devices and overlay attributes; shares blocks where it can."""
    run(
        ["cp", "--archive", "--reflink=auto", "--no-target-directory", "--", str(source), str(destination)],
        timeout=600.0,
    )
