"""What a machine may ask for through its own socket (`/.fly/api`) without a token.

State: none. The socket that a connection came through says which machine asks: the server of the sockets puts its
id into the connection's state, where no request can put anything. The invariant: without a token a machine sees
and changes only itself, and gains nothing that it was not made with: no other configuration, no lease, no metadata
that policies select by, no command run as another user. A request with a token is an ordinary one.
"""

from __future__ import annotations

import time

import anyio.to_thread
from starlette.requests import HTTPConnection

from roost.api.access import KEY_USES
from roost.api.rates import Rate, Rates
from roost.control.contract import Control, Principal
from roost.model.errors import Forbidden, NotFound

MACHINE = "machine"  # the role of a machine that asks for itself
SOURCE = "source_machine"  # the key in a connection's state
RATE = Rate(per_second=20.0, burst=60.0)  # calls of one machine without a token
_APP = "/v1/apps/{app}"
_KEYS = f"{_APP}/secretkeys"
_SELF = "/v1/apps/{app}/machines/{machine_id}"
ALLOWED = frozenset(
    {
        ("POST", "/v1/tokens/kms"),
        ("POST", "/v1/tokens/oidc"),
        ("GET", "/v1/tokens/current"),
        ("GET", "/v1/platform/regions"),
        ("GET", _APP),
        ("GET", _KEYS),
        ("GET", f"{_KEYS}/{{name}}"),
        *(("POST", f"{_KEYS}/{{name}}/{what}") for what in KEY_USES),
        ("GET", _SELF),
        *(
            ("GET", f"{_SELF}/{what}")
            for what in ("events", "lease", "memory", "metadata", "metadata/{key}", "ps", "runs", "versions", "wait")
        ),
        *(
            ("POST", f"{_SELF}/{what}")
            for what in ("start", "stop", "restart", "suspend", "signal", "cordon", "uncordon")
        ),
    }
)


def source_machine(connection: HTTPConnection) -> str:
    """Return the id of the machine whose socket the connection came through, "" for any other connection."""
    return str(connection.scope.get("state", {}).get(SOURCE, ""))


async def admit(connection: HTTPConnection, machine_id: str) -> Principal:
    """Return the machine as who is asking; raises Forbidden for what needs a token, RateLimited."""
    control: Control = connection.app.state.control
    rates: Rates = connection.app.state.rates
    rates.count((SOURCE, machine_id), RATE, time.monotonic())
    template = str(getattr(connection.scope.get("route"), "path_format", ""))
    if (connection.scope.get("method"), template) not in ALLOWED:
        raise Forbidden(
            "a machine may not do this without a token",
            hint="send a token in the header Authorization; docs/machines.md lists what needs none",
        )
    params = connection.path_params
    if params.get("machine_id", machine_id) != machine_id:
        raise Forbidden("a machine may only ask about itself without a token", hint=f"this is machine {machine_id}")
    if "app" in params:
        try:
            await anyio.to_thread.run_sync(control.machines.get, params["app"], machine_id)
        except NotFound:
            raise Forbidden(
                "a machine may only ask about its own app without a token", hint="its name is in FLY_APP_NAME"
            ) from None
    return Principal(f"machine {machine_id}", MACHINE, f"machine:{machine_id}")
