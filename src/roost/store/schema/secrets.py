"""What apps keep secret, and the keys for that. Values are sealed; what unseals them all is not in the database."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, LargeBinary, String, Table

from roost.store.schema.metadata import metadata

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
