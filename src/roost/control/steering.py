"""Answers the edge: where a request goes that says where it wants to go. Implements all of the edge's `Waker`.

It owns no state but a counter, by which requests are spread over machines that are as good. Invariant: a request leads
only to machines of the app on whose name it came, or of an app of the same org.
"""

from __future__ import annotations

from roost.control.core import Core
from roost.control.routing import Routing
from roost.control.waking import Waking
from roost.edge.contract import Refusal, WakeResult
from roost.model.app import App
from roost.model.machine import MachineState
from roost.model.steering import Wish
from roost.plan.steering import whom_to_steer_to
from roost.plan.wake import Refuse


class Steering:
    """Finds machines for requests."""

    def __init__(self, core: Core, waking: Waking, routing: Routing) -> None:
        self._core = core
        self._waking = waking
        self._routing = routing
        self._turn = 0

    async def wake(self, host: str) -> WakeResult:
        """Bring the app behind `host` to where one of its machines accepts connections."""
        return await self._waking.wake(host)

    async def wake_port(self, app: str, protocol: str, port: int) -> WakeResult:
        """Bring the app to where one of its machines accepts connections for this port of the cloud."""
        return await self._waking.wake_port(app, protocol, port)

    def app_of(self, host: str) -> str:
        """Return the app that answers on a host name, "" if none does."""
        app = self._routing.app_of(host)
        return app if app is not None and self._core.store.apps.find(app) is not None else ""

    def host_at(self, address: str) -> str:
        """Return the public host name of the app with this private address, "" if it is nobody's."""
        app = next((app for app, found in self._routing.private.items() if address in found), "")
        return self._core.cloud.app_host(app) if app else ""

    def machine_at(self, app: str, address: str) -> tuple[str, str]:
        """Return id and region of the app's machine with this address.

        Where it isn't known, since the request woke the app, it is the one that runs.
        """
        machines = self._core.store.machines.list(app) if app else []
        for machine in machines:
            if address == machine.private_ipv4:
                return machine.id, machine.region
        running = [m for m in machines if m.state is MachineState.STARTED and not m.cordoned] if not address else []
        return (running[0].id, running[0].region) if running else ("", self._core.region)

    async def reach(self, source: str, app: str, wish: Wish) -> WakeResult:
        """Bring a machine of `app` that fulfils the wish to where it accepts connections."""
        found = self._core.store.apps.find(app)
        if found is None:
            return _refused(404, "replay_app_not_found", f"There is no app {app[:63]!r}.", "")
        if not self._may_send(source, found):
            return _refused(
                403, "replay_unauthorized", f"{source} may not replay requests to {app[:63]}, which is of another org.",
                "Apps of one org can replay requests to each other.",
            )  # fmt: skip
        machines = self._core.store.machines.list(app)
        self._turn += 1
        choice = whom_to_steer_to(
            app,
            machines,
            wish,
            release_failure=self._waking.release_failure(app, machines),
            now=self._core.now(),
            turn=self._turn,
            failing=self._waking.failing(machines),
        )
        if isinstance(choice, Refuse):
            refusal = Refusal(choice.status, choice.fault, choice.code, choice.message, choice.hint)
            return WakeResult(refusal=refusal)
        return await self._waking.rouse(choice.machine)

    def _may_send(self, source: str, target: App) -> bool:
        if source == target.name:
            return True
        sender = self._core.store.apps.find(source)
        return sender is not None and sender.org == target.org


def _refused(status: int, code: str, message: str, hint: str) -> WakeResult:
    return WakeResult(refusal=Refusal(status, "app", code, message, hint))
