"""Which machine of an app a command means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roost.cli import output
from roost.model.errors import NotFound
from roost.model.names import check_machine_id

if TYPE_CHECKING:
    from roost.sdk import Client
    from roost.sdk.shapes import Machine

_ORDER = ("started", "suspended", "stopped", "created")  # which machine to take, the best first


def choose(client: Client, app: str, wanted: str, *, what: str) -> Machine:
    """Return the machine with the id `wanted`, or the app's best one; raises NotFound when it has none."""
    if wanted:
        return client.machines.get(app, check_machine_id(wanted))
    ready = [m for m in client.machines.list(app) if m.get("state") in _ORDER]
    if not ready:
        raise NotFound(f"{app} has no machine to {what}", hint=f"roost deploy -a {app}")
    return min(ready, key=lambda m: _ORDER.index(m["state"]))


def started(client: Client, app: str, wanted: str, *, what: str) -> str:
    """Return the id of such a machine, started if it was not."""
    found = choose(client, app, wanted, what=what)
    if found["state"] != "started":
        output.note(f"Starting {found['id']}, which was {found['state']}")
        client.machines.start(app, found["id"])
        client.machines.wait(app, found["id"], state="started", timeout=60)
    return found["id"]
