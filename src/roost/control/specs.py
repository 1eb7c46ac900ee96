"""What the host is told of a machine, from the rows, images and secrets of now."""

from __future__ import annotations

from roost.control.core import Core
from roost.control.machine_spec import machine_spec, machine_spec_of_several
from roost.control.secrets import Secrets
from roost.host.contract import MachineSpec
from roost.model.containers import parts_of
from roost.model.machine import Machine


class Specs:
    """Looks everything up that a machine needs."""

    def __init__(self, core: Core, secrets: Secrets) -> None:
        self._core = core
        self._secrets = secrets

    def of(self, machine: Machine) -> MachineSpec:
        """Return the spec of a machine; raises NotFound for an image that is gone, BadInput for one with no command."""
        core = self._core
        app, secrets = core.store.apps.get(machine.app), self._secrets.open(machine.app)
        image = core.images.get(machine.image_digest)
        if not (parts := parts_of(machine.config)):
            return machine_spec(app, machine, image, core.images.layer_paths(image), secrets)
        digests = {one.image_digest for one in parts} | {one.image_digest for one in machine.config.volumes}
        images = {machine.image_digest: image} | {digest: core.images.get(digest) for digest in digests if digest}
        paths = {digest: core.images.layer_paths(found) for digest, found in images.items()}
        return machine_spec_of_several(app, machine, lambda digest: (images[digest], paths[digest]), secrets)
