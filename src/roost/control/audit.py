"""The audit log: who changed or tried to change what, when, from where, and how it ended.

State owned: the table `audit`, and in memory the calls of the last tenth of a second, which one thread writes
together, so that a call neither waits for its line nor fails with it. The invariant: lines are only added, in the
order of the calls, and the oldest removed: those above MOST in number or KEPT in age. When the database refuses (a
full disk) they are kept and tried again, at most WAITING of them, and what has no room is counted in roostd's log.
A roostd that is killed loses at most the lines of its last tenth of a second; one that ends writes them first.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import structlog

from roost.model.audit import AuditEntry, Called
from roost.model.names import ulid
from roost.store.store import Store

MOST = 200_000  # lines
KEPT = 400 * 86_400.0  # seconds
WAITING = 50_000  # lines in memory while the database can't be written
TOGETHER = 0.1  # seconds of calls that are written at once
RETRY = 1.0
_BATCH = 1_000
_log = structlog.get_logger("roost.control")


class Audit:
    """Takes lines at once, writes them soon."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[AuditEntry] = deque()
        self._news = threading.Event()
        self._turn = threading.Lock()  # of writing
        self._thread: threading.Thread | None = None
        self._lost = 0
        self._orgs: dict[str, str] = {}

    def record(self, call: Called) -> None:
        """Note a call. Never fails, never waits for the database."""
        if len(self._waiting) >= WAITING:
            self._lost += 1
            return
        entry = AuditEntry(
            id=ulid(int(call.at * 1000), os.urandom(10)),
            at=call.at,
            who=call.who,
            user=call.user,
            token_id=call.token_id,
            method=call.method,
            route=call.route,
            subject=call.subject,
            org=call.org,
            app=call.subject.get("app", ""),
            source=call.source,
            status=call.status,
            request_id=call.request_id,
        )
        self._waiting.append(entry)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
            self._thread.start()
        self._news.set()

    def list(
        self,
        *,
        orgs: Sequence[str] | None = None,
        apps: Sequence[str] | None = None,
        since: float = 0.0,
        before: str = "",
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        """Return lines, newest first, those of a moment ago too; `before` is the id of the last one seen."""
        self.flush()
        return self._store.audit.list(orgs=orgs, apps=apps, since=since, before=before, limit=limit)

    def flush(self) -> None:
        """Write what waits; when the database refuses, it goes on waiting."""
        try:
            self._write()
        except Exception as error:
            _log.warning("the audit log can't be written", error=str(error), waiting=len(self._waiting))

    def trim(self, now: float) -> None:
        """Remove the oldest lines."""
        self._store.audit.trim(keep=MOST, since=now - KEPT)

    def _run(self) -> None:
        while True:
            self._news.wait()
            time.sleep(TOGETHER)
            self._news.clear()
            self.flush()
            if self._waiting:  # refused: without news there would be no other try
                time.sleep(RETRY)
                self._news.set()

    def _write(self) -> None:
        with self._turn:
            while self._waiting:
                batch = [self._waiting[number] for number in range(min(len(self._waiting), _BATCH))]
                self._store.audit.add([self._placed(entry) for entry in batch])
                for _ in batch:
                    self._waiting.popleft()
            lost, self._lost = self._lost, 0
        if lost:
            _log.error("lines of the audit log are lost: the database could not be written", lines=lost)

    def _placed(self, entry: AuditEntry) -> AuditEntry:
        """Return the entry with its app's org: the API looks it up only when the answer depends on it."""
        if not entry.app:
            return entry
        if entry.org:
            self._orgs[entry.app] = entry.org
            return entry
        if len(self._orgs) > WAITING:
            self._orgs.clear()
        found = self._store.apps.find(entry.app)
        if found is not None:
            self._orgs[entry.app] = found.org
        return replace(entry, org=self._orgs.get(entry.app, ""))
