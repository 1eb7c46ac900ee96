"""The verbs on images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from roost.control.core import Core
from roost.control.operations import Job, Operations, Step
from roost.model.errors import NotFound
from roost.model.image import Image, parse_image_ref
from roost.model.operation import Operation

KEPT_RELEASES = 10  # per app: the images of older releases may be collected


class Images:
    """Images in this cloud's store."""

    def __init__(self, core: Core, operations: Operations) -> None:
        self._core = core
        self._operations = operations
        operations.define("image.pull", (Step("pull", "Pulling", self._pull),))
        operations.define("image.refresh", (Step("refresh", "Making it again", self._refresh),))

    def pull(self, reference: str) -> Operation:
        """Begin bringing an image here, unless it is here."""
        parse_image_ref(reference)
        return self._operations.start("image.pull", arguments={"reference": reference})

    def refresh(self, reference: str) -> Operation:
        """Begin pulling or making it again, even if it is here."""
        parse_image_ref(reference)
        return self._operations.start("image.refresh", arguments={"reference": reference})

    def collect(self) -> int:
        """Remove what neither a machine nor a recent release uses; returns the bytes freed."""
        in_use = self._core.store.machines.image_digests() | self._core.store.releases.image_digests(KEPT_RELEASES)
        return self._core.images.collect(in_use)

    def _pull(self, job: Job) -> None:
        ref = parse_image_ref(str(job.arguments["reference"]))
        image = self._core.images.ensure(ref, job.report, job.cancelled)
        job.keep(digest=image.digest)

    def _refresh(self, job: Job) -> None:
        ref = parse_image_ref(str(job.arguments["reference"]))
        image = self._core.images.refresh(ref, job.report, job.cancelled)
        job.keep(digest=image.digest)

    def labels(self, digests: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of images by digest; one that is not here is left out."""
        found: dict[str, Mapping[str, str]] = {}
        for digest in digests:
            with contextlib.suppress(NotFound):
                found[digest] = self._core.images.get(digest).config.labels
        return found

    def list(self) -> list[Image]:
        """Return the images, newest first."""
        return self._core.images.list()
