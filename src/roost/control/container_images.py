"""The images of machines: looked up for an app, brought here, and pinned in the configuration."""

from __future__ import annotations

import threading

from roost.build.contract import Report
from roost.control.core import Core
from roost.model.containers import with_digests
from roost.model.image import Image, parse_image_ref
from roost.model.machine_config import MachineConfig
from roost.plan.image_access import check_usable

_NEVER = threading.Event()


def image_for(
    core: Core, app: str, reference: str, report: Report | None = None, cancelled: threading.Event = _NEVER
) -> Image:
    """Return an image that an app may use, pulled or made if it is not here.

    Raises NotFound for one that was built for an app of another org, as for one that is not there.
    """
    ref = parse_image_ref(reference)
    return check_usable(ref, core.images.ensure(ref, report or _no_report, cancelled), apps_beside(core, app))


def apps_beside(core: Core, app: str) -> dict[str, float]:
    """Return the apps of an app's org, by name, with the times when they were made."""
    return {one.name: one.created_at for one in core.store.apps.list(core.store.apps.get(app).org)}


def with_images(core: Core, app: str, config: MachineConfig) -> MachineConfig:
    """Return the configuration with the digest of each image of its containers, pulled or made if it is not here.

    Whatever digests the configuration held are replaced: they may come from a client.
    """
    digests: dict[str, str] = {}
    references = [*(one.image for one in config.containers), *(one.image for one in config.volumes)]
    for reference in references:
        if reference and reference not in digests:
            digests[reference] = image_for(core, app, reference).digest
    return with_digests(config, digests)


def _no_report(_line: str) -> None:
    return
