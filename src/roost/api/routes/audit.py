"""The audit log."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query

from roost.api.auth import GuardedRoute, TheAccess, TheControl, documented
from roost.api.reading import moment
from roost.api.shapes import time_to_json
from roost.model.audit import AuditEntry
from roost.model.errors import BadInput, Forbidden
from roost.model.identity import check_org
from roost.model.names import check_app_name

router = APIRouter(prefix="/v1/audit", route_class=GuardedRoute, dependencies=[documented], tags=["audit"])


@router.get("")
def list_audit(
    control: TheControl,
    access: TheAccess,
    app: str = "",
    org_slug: str = "",
    since: str = "",
    cursor: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """List what was changed and tried, newest first; of an app, of an org, or of all that the token sees."""
    if cursor and not re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", cursor):
        raise BadInput("cursor is none of this API's", hint="send the next_cursor of the page before")
    who = access.principal
    if who.machine:
        raise Forbidden("a token of one machine does not see the audit log", hint="use a token of its org")
    orgs = None if who.orgs is None else sorted(who.orgs)
    if org_slug:
        orgs = [org for org in (check_org(org_slug),) if orgs is None or org in orgs]
    apps = None if who.apps is None else sorted(who.apps)
    if app:
        apps = [name for name in (check_app_name(app),) if apps is None or name in apps]
    start = moment(since, time.time())
    found = control.audit.list(orgs=orgs, apps=apps, since=start, before=cursor, limit=limit + 1)
    more, shown = len(found) > limit, found[:limit]
    return {"entries": [entry_to_json(entry) for entry in shown], "next_cursor": shown[-1].id if more else ""}


def entry_to_json(entry: AuditEntry) -> dict[str, Any]:
    """Return a line of the log."""
    return {
        "id": entry.id,
        "at": time_to_json(entry.at),
        "who": entry.who,
        "user": entry.user,
        "token_id": entry.token_id,
        "action": f"{entry.method} {entry.route}",
        "subject": dict(entry.subject),
        "app": entry.app,
        "org_slug": entry.org,
        "source_address": entry.source,
        "status": entry.status,
        "result": result_of(entry.status),
        "request_id": entry.request_id,
    }


def result_of(status: int) -> str:
    """Return how a call ended, in a word."""
    if status < 400:
        return "ok" if status else "unknown"
    if status in (401, 403):
        return "refused"
    return "failed"
