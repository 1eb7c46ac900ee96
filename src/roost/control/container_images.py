"""The images of a machine's containers: brought here, and pinned in its configuration."""

from __future__ import annotations

import threading

from roost.build.contract import ImageStore
from roost.model.containers import with_digests
from roost.model.image import parse_image_ref
from roost.model.machine_config import MachineConfig

_NEVER = threading.Event()


def with_images(images: ImageStore, config: MachineConfig) -> MachineConfig:
    """Return the configuration with the digest of each image of its containers, pulled or made if it is not here.

    Whatever digests the configuration held are replaced: they may come from a client.
    """
    digests: dict[str, str] = {}
    references = [*(one.image for one in config.containers), *(one.image for one in config.volumes)]
    for reference in references:
        if reference and reference not in digests:
            digests[reference] = images.ensure(parse_image_ref(reference), _no_report, _NEVER).digest
    return with_digests(config, digests)


def _no_report(_line: str) -> None:
    return
