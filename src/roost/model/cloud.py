"""One cloud: its id and every name on the host that derives from it.

Two clouds run side by side on one machine because each name below carries the cloud id. The value
is stored in `HOME/cloud.json` at the first `roost up` and never changes afterwards, except the
ports, the domain and the email address.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

RUN = Path("/run/roost")
FLYCAST_PORT = 10_080  # of the edge's private addresses; machines call the ports of the app's services


def run_directory(cloud_id: str) -> Path:
    """Return a cloud's place for what is gone after a reboot. It is there from `roost up` to `roost down`."""
    return RUN / cloud_id


@dataclass(frozen=True, slots=True)
class Cloud:
    """Identity and places of a cloud. `id` is 8 lower-case hex digits."""

    id: str
    home: Path  # ROOST_HOME: everything that must survive a reboot
    http_port: int  # the edge's public HTTP port
    api_port: int  # the API's port on 127.0.0.1
    domain: str  # apps answer on APP.<domain>
    ipv4_network: IPv4Network  # machines' private addresses; the first host address is the gateway
    cache: Path = Path("/var/cache/roost")  # per host, shared between clouds: base images, build tools
    https_port: int = 0  # the edge's public port for TLS; 0: none
    email: str = ""  # for the certificate authority, whose terms are agreed to by saying it; "": not said

    @property
    def run(self) -> Path:
        """Sockets, bundles and namespaces: gone after a reboot. Short, because socket paths end at 107 bytes."""
        return run_directory(self.id)

    @property
    def database_url(self) -> str:
        """Where the control plane's state is."""
        return f"sqlite:///{self.home / 'state.db'}"

    @property
    def pool(self) -> Path:
        """Mount point of the reflink file system that holds disks and image layers."""
        return self.home / "pool"

    @property
    def layers(self) -> Path:
        """Image layers that belong to this cloud, one directory per layer id."""
        return self.pool / "layers"

    @property
    def shared_layers(self) -> Path:
        """Image layers of base images, shared read-only between the clouds of this host."""
        return self.cache / "layers"

    @property
    def logs(self) -> Path:
        """Logs of roostd, Envoy, builds and machines."""
        return self.home / "log"

    @property
    def keys(self) -> Path:
        """Key material and the local CLI token, mode 0700, kept apart from the database."""
        return self.home / "keys"

    @property
    def cgroup(self) -> str:
        """Parent of all machines' cgroups, relative to each controller's root."""
        return f"roost-{self.id}"

    @property
    def edge_cgroups(self) -> str:
        """What the names of the cgroups of an edge with several cells begin with, likewise."""
        return f"{self.cgroup}-edge"

    @property
    def nft_table(self) -> str:
        """Name of the cloud's table in the nftables families it uses."""
        return f"roost_{self.id}"

    @property
    def interface_prefix(self) -> str:
        """Prefix of bridges and veths; IFNAMSIZ leaves 6 more characters."""
        return f"r{self.id}"

    @property
    def ipv6_network(self) -> IPv6Network:
        """6PN prefix: fdaa::/16 and 32 bits of cloud id (reference: private networks)."""
        return IPv6Network(f"fdaa:{self.id[:4]}:{self.id[4:]}::/48")

    @property
    def dns_ipv4(self) -> IPv4Address:
        """Where machines find the names of their private network; an address of the host's own."""
        return self.ipv4_network.network_address + 3

    @property
    def dns_ipv6(self) -> IPv6Address:
        """The same by IPv6: the prefix's third address, as the reference has it (section 4)."""
        return self.ipv6_network.network_address + 3

    @property
    def edge_ipv4(self) -> IPv4Address:
        """Where the edge serves private networks; an address of the host's own, which machines can't call directly."""
        return self.ipv4_network.network_address + 4

    @property
    def edge_ipv6(self) -> IPv6Address:
        """The same by IPv6."""
        return self.ipv6_network.network_address + 4

    @property
    def dns_ready(self) -> Path:
        """There while the DNS server answers; holds what it reads the database as."""
        return self.run / "dns.ready"

    @property
    def api_url(self) -> str:
        """Base URL of the API without `/v1`."""
        return f"http://127.0.0.1:{self.api_port}"

    def app_host(self, app: str) -> str:
        """Host name on which `app` answers."""
        return f"{app}.{self.domain}"

    def app_url(self, app: str) -> str:
        """URL of `app` at the edge."""
        port = "" if self.http_port == 80 else f":{self.http_port}"
        return f"http://{self.app_host(app)}{port}"

    def app_https_url(self, app: str) -> str:
        """URL of `app` at the edge by TLS; "" where the edge has no such port."""
        if not self.https_port:
            return ""
        port = "" if self.https_port == 443 else f":{self.https_port}"
        return f"https://{self.app_host(app)}{port}"
