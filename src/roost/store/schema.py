"""The tables of the control plane. A change here needs a migration in `migrations/versions`.

Times are Unix seconds; structured values that SQL never looks into are JSON text.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

apps = Table(
    "apps",
    metadata,
    Column("name", String, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("org", String, nullable=False, index=True),
    Column("network", String, nullable=False),
    Column("number", Integer, nullable=False, unique=True),
    Column("secrets_version", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("role", String, nullable=False, server_default=""),
)

machines = Table(
    "machines",
    metadata,
    Column("id", String, primary_key=True),
    Column("app", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("desired", String, nullable=False),
    Column("config", JSON, nullable=False),
    Column("instance_id", String, nullable=False),
    Column("region", String, nullable=False),
    Column("image_digest", String, nullable=False),
    Column("release", Integer, nullable=False),
    Column("process_group", String, nullable=False),
    Column("slot", Integer, nullable=False, unique=True),
    Column("private_ip", String, nullable=False),
    Column("private_ipv4", String, nullable=False),
    Column("cordoned", Integer, nullable=False),
    Column("restarts", Integer, nullable=False),
    Column("last_exit", JSON),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("next_run_at", Float, index=True),
    Column("standby", Integer, nullable=False, server_default="0", index=True),
    UniqueConstraint("app", "name", name="machine_name_in_app"),
)

destroyed = Table(  # machines and volumes as they were at their end, for some days
    "destroyed",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("app", String, nullable=False, index=True),
    Column("region", String, nullable=False),
    Column("destroyed_at", Float, nullable=False),
    Column("value", JSON, nullable=False),
)

versions = Table(  # configurations that machines had before the current one
    "versions",
    metadata,
    Column("machine_id", String, primary_key=True),
    Column("instance_id", String, primary_key=True),
    Column("image_digest", String, nullable=False),
    Column("config", JSON, nullable=False),
)

updates = Table(  # new configurations on their way to a machine; gone when they have arrived, or were given up
    "updates",
    metadata,
    Column("machine_id", String, primary_key=True),
    Column("instance_id", String, nullable=False),
    Column("image_digest", String, nullable=False),
    Column("config", JSON, nullable=False),
    Column("previous", String, nullable=False),
    Column("launch", Integer, nullable=False),
    Column("revive", Integer, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("machine_id", String, primary_key=True),
    Column("nonce", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("description", String, nullable=False),
    Column("version", String, nullable=False),
    Column("expires_at", Float, nullable=False),
)

replays = Table(  # answers to calls with an Idempotency-Key; `body` is encrypted
    "replays",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("media_type", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", Float, nullable=False, index=True),
)

events = Table(
    "events",
    metadata,
    Column("id", String, primary_key=True),
    Column("machine_id", String, nullable=False),
    Column("app", String, nullable=False),
    Column("type", String, nullable=False),
    Column("status", String, nullable=False),
    Column("source", String, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("at", Float, nullable=False),
    Index("events_of_machine", "machine_id", "id"),
    Index("events_of_app", "app", "id"),
)

runs = Table(  # of machines that have a schedule
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("machine_id", String, nullable=False),
    Column("app", String, nullable=False),
    Column("instance_id", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("state", String, nullable=False),
    Column("scheduled_at", Float, nullable=False),
    Column("missed", Integer, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("exit_code", Integer),
    Column("signal", Integer, nullable=False),
    Column("oom", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Index("runs_of_machine", "machine_id", "id"),
)

releases = Table(
    "releases",
    metadata,
    Column("app", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("image_digest", String, nullable=False),
    Column("image_reference", String, nullable=False),
    Column("config", JSON, nullable=False),
    Column("processes", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("app", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("digest", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)

data_keys = Table(  # what secrets are encrypted with; each is encrypted itself, with a key that is not in here
    "data_keys",
    metadata,
    Column("name", String, primary_key=True),
    Column("ring_key", Integer, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)

secret_keys = Table(
    "secret_keys",
    metadata,
    Column("app", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("type", String, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)

certificates = Table(
    "certificates",
    metadata,
    Column("hostname", String, primary_key=True),
    Column("app", String, nullable=False, index=True),
    Column("acme_requested", Integer, nullable=False),
    Column("custom", JSON(none_as_null=True)),
    Column("sealed", LargeBinary),
    Column("seen", JSON(none_as_null=True)),
    Column("checked_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("issued", JSON(none_as_null=True)),
    Column("issued_sealed", LargeBinary),
    Column("attempt", JSON(none_as_null=True)),
    Column("attempt_sealed", LargeBinary),  # the key that the order under way is for
)

acme_accounts = Table(  # one per ACME server; `sealed` is the account's key
    "acme_accounts",
    metadata,
    Column("directory", String, primary_key=True),
    Column("uri", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)

cloud_certificates = Table(  # the local authority's own, and what it signed for the cloud's domain
    "cloud_certificates",
    metadata,
    Column("name", String, primary_key=True),
    Column("chain", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
)

domain_certificates = Table(  # public ones for names of the cloud's own domain; they outlive their apps
    "domain_certificates",
    metadata,
    Column("hostname", String, primary_key=True),
    Column("app", String, nullable=False, index=True),
    Column("created_at", Float, nullable=False),
    Column("called_at", Float, nullable=False),
    Column("first_issued_at", Float, nullable=False),
    Column("directory", String, nullable=False),  # of the authority
    Column("org", String, nullable=False, server_default=""),  # that the first one was issued for
    Column("issued", JSON(none_as_null=True)),
    Column("issued_sealed", LargeBinary),
    Column("attempt", JSON(none_as_null=True)),
    Column("attempt_sealed", LargeBinary),
    Column("seen", JSON(none_as_null=True)),
    Column("checked_at", Float, nullable=False),
)

operations = Table(
    "operations",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("app", String, nullable=False, index=True),
    Column("state", String, nullable=False, index=True),
    Column("step", String, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("sealed", LargeBinary),
    Column("result", JSON, nullable=False),
    Column("error", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)

progress = Table(
    "progress",
    metadata,
    Column("operation", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("step", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", Float, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("role", String, nullable=False),
    Column("sha256", String, nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("org", String, nullable=False, server_default=""),
    Column("user", String, nullable=False, server_default=""),
    Column("apps", JSON(none_as_null=True)),
    Column("machine", String, nullable=False, server_default=""),
    Column("actions", JSON(none_as_null=True)),
    Column("app_ids", JSON(none_as_null=True)),  # of `apps`, in their order: a later app of the name is another
)

orgs = Table(
    "orgs",
    metadata,
    Column("slug", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("created_at", Float, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("org", String, primary_key=True),
    Column("user", String, primary_key=True, index=True),
    Column("role", String, nullable=False),
    Column("added_at", Float, nullable=False),
)

audit = Table(  # one row per call that changes something
    "audit",
    metadata,
    Column("id", String, primary_key=True),
    Column("at", Float, nullable=False, index=True),
    Column("org", String, nullable=False),
    Column("app", String, nullable=False, index=True),
    Column("who", String, nullable=False),
    Column("user", String, nullable=False),
    Column("token_id", String, nullable=False),
    Column("method", String, nullable=False),
    Column("route", String, nullable=False),
    Column("subject", JSON, nullable=False),
    Column("source", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("request_id", String, nullable=False),
)

volumes = Table(
    "volumes",
    metadata,
    Column("id", String, primary_key=True),
    Column("app", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("size_gb", Integer, nullable=False),
    Column("region", String, nullable=False),
    Column("snapshot_retention", Integer, nullable=False),
    Column("auto_backup_enabled", Integer, nullable=False),
    Column("attached_machine_id", String, nullable=False, index=True),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False, server_default="0"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", String, primary_key=True),
    Column("volume_id", String, nullable=False, index=True),
    Column("app", String, nullable=False, index=True),
    Column("state", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("volume_size", BigInteger, nullable=False),
    Column("retention_days", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
)

network_policies = Table(
    "network_policies",
    metadata,
    Column("id", String, primary_key=True),
    Column("app", String, nullable=False),
    Column("name", String, nullable=False),
    Column("selector", JSON, nullable=False),
    Column("rules", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("app", "name", name="policy_name_in_app"),
)

autoscale_policies = Table(
    "autoscale_policies",
    metadata,
    Column("app", String, primary_key=True),
    Column("group", String, primary_key=True),
    Column("policy", JSON),  # null: switched off by hand
    Column("origin", String, nullable=False),
)

autoscale_decisions = Table(  # the latest of each app
    "autoscale_decisions",
    metadata,
    Column("id", String, primary_key=True),
    Column("app", String, nullable=False, index=True),
    Column("group", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("action", String, nullable=False),
    Column("seen", JSON, nullable=False),
    Column("machines", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("ended_at", Float, nullable=False),
)

ip_assignments = Table(
    "ip_assignments",
    metadata,
    Column("app", String, primary_key=True),
    Column("ip", String, primary_key=True),
    Column("region", String, nullable=False),
    Column("service_name", String, nullable=False),
    Column("created_at", Float, nullable=False),
)

public_ports = Table(  # ports of the cloud that lead to one app
    "public_ports",
    metadata,
    Column("protocol", String, primary_key=True),
    Column("port", Integer, primary_key=True),
    Column("app", String, nullable=False, index=True),
    Column("claimed_at", Float, nullable=False),
)
