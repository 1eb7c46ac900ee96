"""Volumes and their snapshots."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, String, Table

from roost.store.schema.metadata import metadata

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
