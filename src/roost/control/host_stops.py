"""How a machine is ended on the host: asked to, as it is configured, or killed; and whether its writable root stays.

State owned: none. Invariant: nothing of the machine's run stays on the host, but the writable root of one that asked
for that. Ending one that isn't there is no error, so what a kill interrupted is asked again.
"""

from __future__ import annotations

from roost.control.core import Core
from roost.control.machine_spec import stop_signal
from roost.host.contract import Observed
from roost.model.containers import parts_of
from roost.model.machine import Machine


class HostStops:
    """Ends machines on the host."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def ask(
        self, machine: Machine, signal: str = "", timeout: float | None = None, *, restarting: bool = False
    ) -> Observed:
        """Let it end as it is configured, where no other signal or time is asked for. Raises what the host raises."""
        host, keep = self._core.host, _keeps_root(machine, restarting)
        if parts_of(machine.config):
            return host.stop(machine.id, signal=signal, timeout=timeout, keep_root=keep)
        image = self._core.images.get(machine.image_digest)
        return host.stop(
            machine.id,
            signal=signal or stop_signal(machine, image),
            timeout=machine.config.stop_config.timeout if timeout is None else timeout,
            keep_root=keep,
        )

    def clear(self, machine: Machine, *, restarting: bool) -> None:
        """Kill what may be left of it. Raises what the host raises."""
        keep = _keeps_root(machine, restarting)
        self._core.host.stop(machine.id, signal="SIGKILL", timeout=0, keep_root=keep)


def _keeps_root(machine: Machine, restarting: bool) -> bool:
    persist = machine.config.guest.persist_rootfs
    return persist == "always" or (persist == "restart" and restarting)
