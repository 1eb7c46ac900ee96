"""Which files of an app's image are served without the app: by its newest machines that serve requests.

State owned: what was found of late, by app, so that many requests to a sleeping app cost one look. Invariant: what is
served is that of a machine that is there; a change is seen within `FRESH` seconds by sleeping apps, at once by others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable

from roost.control.core import Core
from roost.edge.static_paths import AppStatics
from roost.model.machine import Machine, MachineState
from roost.plan.idle import web_service

FRESH = 1.0  # seconds
MOST = 4096  # apps that are remembered
_GONE = (MachineState.DESTROYING, MachineState.DESTROYED)


def statics_of(app: str, machines: Iterable[Machine]) -> AppStatics | None:
    """Return what is served of an app; None: nothing. Pure."""
    serving = [
        machine
        for machine in machines
        if web_service(machine) is not None and not machine.cordoned and machine.state not in _GONE
    ]
    newest = max(serving, key=lambda machine: (machine.release, machine.updated_at, machine.id), default=None)
    if newest is None or not newest.config.statics:
        return None
    service = web_service(newest)
    secure = service is not None and any(port.force_https for port in service.ports)
    return AppStatics(app, newest.image_digest, newest.config.statics, secure)


class Statics:
    """Answers the activator. `app_of` says whose a host name is."""

    def __init__(self, core: Core, app_of: Callable[[str], str | None]) -> None:
        self._core = core
        self._app_of = app_of
        self._found: OrderedDict[str, tuple[float, AppStatics | None]] = OrderedDict()

    async def find(self, host: str) -> AppStatics | None:
        """Return what is served of the app behind `host`."""
        app = self._app_of(host)
        if app is None:
            return None
        now = asyncio.get_running_loop().time()
        at, found = self._found.get(app, (-FRESH, None))
        if now - at >= FRESH:
            found = statics_of(app, self._core.store.machines.list(app))
            self._found[app] = (now, found)
            self._found.move_to_end(app)
            if len(self._found) > MOST:
                self._found.popitem(last=False)
        return found
