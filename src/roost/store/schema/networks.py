"""What of the networks is an app's: policies, addresses, ports of the cloud."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, UniqueConstraint

from roost.store.schema.metadata import metadata

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
