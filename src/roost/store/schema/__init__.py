"""The tables of the control plane. A change here needs a migration in `migrations/versions`.

Times are Unix seconds; structured values that SQL never looks into are JSON text. Importing this package is what makes
the metadata whole.
"""

from __future__ import annotations

from roost.store.schema.access import audit, members, orgs, replays, tokens
from roost.store.schema.autoscale import autoscale_decisions, autoscale_policies, empty_groups
from roost.store.schema.certificates import acme_accounts, certificates, cloud_certificates, domain_certificates
from roost.store.schema.deploys import operations, progress, releases
from roost.store.schema.machines import apps, destroyed, events, leases, machines, runs, updates, versions
from roost.store.schema.metadata import metadata
from roost.store.schema.networks import ip_assignments, network_policies, public_ports
from roost.store.schema.secrets import data_keys, secret_keys, secrets
from roost.store.schema.volumes import snapshots, volumes

__all__ = [
    "acme_accounts",
    "apps",
    "audit",
    "autoscale_decisions",
    "autoscale_policies",
    "certificates",
    "cloud_certificates",
    "data_keys",
    "destroyed",
    "domain_certificates",
    "empty_groups",
    "events",
    "ip_assignments",
    "leases",
    "machines",
    "members",
    "metadata",
    "network_policies",
    "operations",
    "orgs",
    "progress",
    "public_ports",
    "releases",
    "replays",
    "runs",
    "secret_keys",
    "secrets",
    "snapshots",
    "tokens",
    "updates",
    "versions",
    "volumes",
]
