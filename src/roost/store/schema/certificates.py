"""Certificates by host name, of apps and of the cloud. Private keys are sealed."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, LargeBinary, String, Table, Text

from roost.store.schema.metadata import metadata

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
