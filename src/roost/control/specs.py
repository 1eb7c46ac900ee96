"""What the host is told of a machine, from the rows, images and secrets of now."""

from __future__ import annotations

from dataclasses import replace

from roost.control.core import Core
from roost.control.machine_spec import machine_spec, machine_spec_of_several
from roost.control.secrets import Secrets
from roost.host.contract import MachineSpec
from roost.model.containers import parts_of
from roost.model.machine import Machine
from roost.plan.network_filter import filter_of


class Specs:
    """Looks everything up that a machine needs."""

    def __init__(self, core: Core, secrets: Secrets) -> None:
        self._core = core
        self._secrets = secrets

    def of(self, machine: Machine) -> MachineSpec:
        """Return the spec of a machine; raises NotFound for an image that is gone, BadInput for one with no command."""
        core = self._core
        allowed = filter_of(machine, core.store.network_policies.list(machine.app))
        return replace(with_public_ip(self._of(machine), core.public_ipv4), allowed=allowed)

    def _of(self, machine: Machine) -> MachineSpec:
        core = self._core
        app = core.store.apps.get(machine.app)
        secrets = {} if machine.config.skip_secrets else self._secrets.open(machine.app)
        image = core.images.get(machine.image_digest)
        if not (parts := parts_of(machine.config)):
            return machine_spec(app, machine, image, core.images.layer_paths(image), secrets)
        digests = {one.image_digest for one in parts} | {one.image_digest for one in machine.config.volumes}
        images = {machine.image_digest: image} | {digest: core.images.get(digest) for digest in digests if digest}
        paths = {digest: core.images.layer_paths(found) for digest, found in images.items()}
        return machine_spec_of_several(app, machine, lambda digest: (images[digest], paths[digest]), secrets)


def with_public_ip(spec: MachineSpec, address: str) -> MachineSpec:
    """Return the spec with the server's address in the environment, of each container too; "" is not known."""
    if not address:
        return spec
    told = {"FLY_PUBLIC_IP": address, "ROOST_PUBLIC_IP": address}
    containers = tuple(replace(one, env={**one.env, **told}) for one in spec.containers)
    return replace(spec, env=spec.env if containers else {**spec.env, **told}, containers=containers)
