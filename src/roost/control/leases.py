"""The verbs on leases. A lease is for clients among themselves: the cloud's own work and an app's end pass it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from roost.control.core import Core
from roost.model.errors import NotFound
from roost.model.machine_version import Lease
from roost.plan import leases


class Leases:
    """Leases on machines."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def get(self, app: str, machine_id: str) -> Lease:
        """Return the lease on a machine; raises NotFound."""
        lease = self._find(app, machine_id)
        if lease is None:
            raise NotFound("lease not found", hint="nobody holds this machine")
        return lease

    def find(self, machine_id: str) -> Lease | None:
        """Return the lease on a machine, or None."""
        return self._core.store.leases.find(machine_id, self._core.now())

    def current(self) -> Mapping[str, Lease]:
        """Return all leases by machine."""
        return self._core.store.leases.current(self._core.now())

    def acquire(
        self, app: str, machine_id: str, *, ttl: float, owner: str, description: str = "", nonce: str = ""
    ) -> Lease:
        """Take a machine for `ttl` seconds, or with `nonce` hold it for so much longer; raises Conflict."""
        core = self._core
        core.store.machines.get(app, machine_id)
        now = core.now()
        wanted = Lease(machine_id, os.urandom(16).hex(), owner, description, core.new_ulid(), now + ttl)
        lease = core.store.leases.change(machine_id, now, lambda current: leases.acquire(current, wanted, nonce))
        return lease or wanted

    def release(self, app: str, machine_id: str, nonce: str) -> None:
        """Give it back; raises NotFound without a lease, Conflict for another's."""
        self._core.store.machines.get(app, machine_id)

        def give_back(current: Lease | None) -> None:
            leases.release(current, nonce)

        self._core.store.leases.change(machine_id, self._core.now(), give_back)

    def check(self, app: str, machine_id: str, nonce: str) -> None:
        """Raise Conflict when somebody else holds the machine."""
        leases.permit(self._find(app, machine_id), nonce)

    def _find(self, app: str, machine_id: str) -> Lease | None:
        self._core.store.machines.get(app, machine_id)
        return self.find(machine_id)
