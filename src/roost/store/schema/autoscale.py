"""Numbers of machines: groups that are to have none, those that follow their load, and what was decided."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text

from roost.store.schema.metadata import metadata

autoscale_policies = Table(
    "autoscale_policies",
    metadata,
    Column("app", String, primary_key=True),
    Column("group", String, primary_key=True),
    Column("policy", JSON),  # null: switched off by hand
    Column("origin", String, nullable=False),
)

empty_groups = Table(  # process groups that somebody brought to no machines: no deploy makes one
    "empty_groups",
    metadata,
    Column("app", String, primary_key=True),
    Column("group", String, primary_key=True),
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
