"""Apps and their machines, with all that is kept of a machine while it is there, and for a while after."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, String, Table, Text, UniqueConstraint

from roost.store.schema.metadata import metadata

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
