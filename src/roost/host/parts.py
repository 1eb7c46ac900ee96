"""What a host agent is made of, for its modules to share.

State owned: none but threads and what is kept ready; the parts own theirs, on disk and in the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from roost.host.cgroups import Cgroups
from roost.host.contract import Doors
from roost.host.disks import Disks
from roost.host.logs import MachineLog
from roost.host.machine_files import MachineFiles
from roost.host.namespaces import Namespaces
from roost.host.network import Network, resolvers
from roost.host.network_clients import NO_LIMITS, ClientLimits
from roost.host.spare_disks import SpareDisks
from roost.host.volumes import Volumes
from roost.model.cloud import Cloud
from roost.model.names import check_machine_id

COMMON_DISK_GB = 8  # its template is made ahead of time
_BESIDE = 8  # machines whose addresses are set while their roots are made


class Parts:
    """The parts of one cloud's agent. `faults` is called with the name of each step before it begins."""

    def __init__(
        self,
        cloud: Cloud,
        faults: Callable[[str], None],
        doors: Doors | None,
        *,
        pool_bytes: int | None,
        spares: int,
        clients: ClientLimits = NO_LIMITS,
        callers: bool = False,
    ) -> None:
        self.cloud = cloud
        self.faults = faults
        self.doors = doors
        self.disks = Disks(cloud, pool_bytes=pool_bytes)
        self.spare_disks = SpareDisks(self.disks, cloud.pool / "spares", size_gb=COMMON_DISK_GB, number=spares)
        self.volumes = Volumes(cloud, faults)
        self.network = Network(cloud, clients=clients, callers=callers)
        self.namespaces = Namespaces(spare=spares, on_pair=self.network.prepare, on_discard=self.network.release)
        self.beside = ThreadPoolExecutor(_BESIDE, thread_name_prefix="beside")

    @cached_property
    def cgroups(self) -> Cgroups:
        """The control groups. Looked up when first needed: `ensure` may have to mount a hierarchy."""
        return Cgroups(self.cloud.cgroup)

    def close(self) -> None:
        """Let go of what was kept ready."""
        self.beside.shutdown(wait=False)
        self.spare_disks.close()
        self.namespaces.close()

    def nameservers(self) -> tuple[str, ...]:
        """Return who answers machines: the cloud's own server alone, so that no other answers for its names first."""
        return (str(self.cloud.dns_ipv4),) if self.cloud.dns_ready.exists() else resolvers()

    def files(self, machine_id: str) -> MachineFiles:
        """Return the places of a machine; raises BadInput for what is no machine's id."""
        return MachineFiles(self.cloud, check_machine_id(machine_id))

    def log(self, machine_id: str, container: str = "") -> MachineLog:
        """Return the log of a machine, or of one of its containers."""
        return MachineLog(self.cloud.logs / "machines" / check_machine_id(machine_id), container)
