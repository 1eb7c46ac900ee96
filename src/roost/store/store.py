"""All of the control plane's state behind one object."""

from __future__ import annotations

from roost.store.acme_accounts import AcmeAccounts
from roost.store.apps import Apps, Releases, Secrets
from roost.store.audit import Audit
from roost.store.autoscale import Autoscale
from roost.store.certificates import Certificates
from roost.store.cloud_certificates import CloudCertificates
from roost.store.data_keys import DataKeys
from roost.store.database import Database
from roost.store.destroyed import Destroyed
from roost.store.domain_certificates import DomainCertificates
from roost.store.empty_groups import EmptyGroups
from roost.store.identity import Orgs, Tokens
from roost.store.leases import Leases
from roost.store.machines import Events, Machines, machine_of
from roost.store.networks import IpAssignments, NetworkPolicies
from roost.store.operations import Operations
from roost.store.public_ports import PublicPorts
from roost.store.replays import Replays
from roost.store.runs import Runs
from roost.store.secret_keys import SecretKeys
from roost.store.versions import Versions
from roost.store.volumes import Snapshots, Volumes, volume_of


class Store:
    """The state, opened by URL; SQLite by default. Safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Open it and bring it to the newest schema."""
        self.database = Database(url)
        self.apps = Apps(self.database)
        self.releases = Releases(self.database)
        self.secrets = Secrets(self.database)
        self.certificates = Certificates(self.database)
        self.acme_accounts = AcmeAccounts(self.database)
        self.cloud_certificates = CloudCertificates(self.database)
        self.domain_certificates = DomainCertificates(self.database)
        self.secret_keys = SecretKeys(self.database)
        self.machines = Machines(self.database)
        self.destroyed_machines = Destroyed(self.database, "machine", machine_of)
        self.destroyed_volumes = Destroyed(self.database, "volume", volume_of)
        self.versions = Versions(self.database)
        self.leases = Leases(self.database)
        self.events = Events(self.database)
        self.runs = Runs(self.database)
        self.volumes = Volumes(self.database)
        self.snapshots = Snapshots(self.database)
        self.network_policies = NetworkPolicies(self.database)
        self.ip_assignments = IpAssignments(self.database)
        self.public_ports = PublicPorts(self.database)
        self.autoscale = Autoscale(self.database)
        self.empty_groups = EmptyGroups(self.database)
        self.operations = Operations(self.database)
        self.tokens = Tokens(self.database)
        self.orgs = Orgs(self.database)
        self.audit = Audit(self.database)
        self.data_keys = DataKeys(self.database)
        self.replays = Replays(self.database)

    def close(self) -> None:
        """Close the database."""
        self.database.close()
