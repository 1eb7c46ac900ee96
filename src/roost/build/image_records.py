"""Which images there are and what references name them: JSON files, one per image and one per reference.

Owns `images/` on the pool: `sha256-<hex>.json` is an image, `names/<hash>.json` says which digest a
reference names now. An image is written before its name, both all-or-nothing, so a name never points
at an image that was not there; a name whose image was collected counts as unknown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from roost.build.layers import write_json
from roost.model.image import Image, ImageConfig


def image_digest(layers: tuple[str, ...], config: ImageConfig) -> str:
    """Return the digest of an image made here: equal layers and configuration give equal digests."""
    text = json.dumps({"layers": layers, "config": asdict(config)}, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def image_to_json(image: Image) -> dict[str, Any]:
    """Return an image as JSON; `image_from_json` reads it back."""
    return asdict(image)


def image_from_json(data: dict[str, Any]) -> Image:
    """Read an image from its JSON; raises KeyError or TypeError when it is none."""
    fields = dict(data)
    config = dict(fields.pop("config"))
    for key in ("entrypoint", "cmd", "env", "exposed_ports"):
        config[key] = tuple(config[key])
    return Image(**(fields | {"layers": tuple(fields["layers"]), "config": ImageConfig(**config)}))


class ImageRecords:
    """The images and names of one cloud."""

    def __init__(self, directory: Path) -> None:
        self._images = directory
        self._names = directory / "names"

    def open(self) -> None:
        """Make the directories if missing, and remove files that were being written when a process died."""
        self._names.mkdir(parents=True, exist_ok=True)
        for directory in (self._images, self._names):
            for leftover in directory.glob(".*.json.*"):
                leftover.unlink(missing_ok=True)

    def get(self, digest: str) -> Image | None:
        """Return an image by digest."""
        if not digest.startswith("sha256:") or not digest[7:].isalnum():
            return None
        return self._read(self._images / f"{digest.replace(':', '-')}.json")

    def named(self, reference: str) -> Image | None:
        """Return the image that a reference names now."""
        try:
            record = json.loads(self._name_file(reference).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return self.get(str(record.get("digest", ""))) if record.get("reference") == reference else None

    def put(self, image: Image) -> None:
        """Record an image, and let its reference name it from now on."""
        write_json(self._images / f"{image.digest.replace(':', '-')}.json", image_to_json(image))
        if image.reference:
            write_json(self._name_file(image.reference), {"reference": image.reference, "digest": image.digest})

    def remove(self, digest: str) -> None:
        """Forget an image. Its names then count as unknown."""
        (self._images / f"{digest.replace(':', '-')}.json").unlink(missing_ok=True)

    def list(self) -> list[Image]:
        """Return all the images, newest first."""
        return sorted(self._all(), key=lambda image: image.created_at, reverse=True)

    def _all(self) -> Iterator[Image]:
        for path in self._images.glob("sha256-*.json"):
            if (image := self._read(path)) is not None:
                yield image

    def _name_file(self, reference: str) -> Path:
        return self._names / f"{hashlib.sha256(reference.encode()).hexdigest()[:32]}.json"

    @staticmethod
    def _read(path: Path) -> Image | None:
        try:
            return image_from_json(json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
