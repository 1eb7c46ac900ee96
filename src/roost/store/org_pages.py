"""The query behind a page of what an org has: the same for machines, volumes and those that were destroyed. Pure."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, select

from roost.model.listing import OrgListing
from roost.store.schema import apps


def page_of_org(query: Select[Any], table: Table, changed: ColumnElement[float], asked: OrgListing) -> Select[Any]:
    """Return a query for the rows that are asked for, whatever their state; `changed` is when they changed last."""
    at, last = asked.after
    query = query.where(
        table.c.app.in_(select(apps.c.name).where(apps.c.org == asked.org)),
        (changed > at) | ((changed == at) & (table.c.id > last)),
    )
    if asked.region:
        query = query.where(table.c.region == asked.region)
    return query.order_by(changed, table.c.id).limit(asked.limit)


def page_by_state(query: Select[Any], table: Table, asked: OrgListing) -> Select[Any]:
    """Return the same for a table whose rows have a state and the time of their latest change."""
    if asked.states:
        query = query.where(table.c.state.in_(sorted(asked.states)))
    return page_of_org(query, table, table.c.updated_at, asked)
