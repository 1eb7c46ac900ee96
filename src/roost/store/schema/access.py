"""Who may do what, what was done, and the answers that are given again."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, LargeBinary, String, Table

from roost.store.schema.metadata import metadata

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
