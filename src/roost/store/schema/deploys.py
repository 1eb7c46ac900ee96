"""Releases, and the durable jobs that make them."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, LargeBinary, String, Table, Text

from roost.store.schema.metadata import metadata

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
