"""Rows of autoscaling: the policies in force, and the log of what was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from roost.model.autoscale import AutoscalePolicy, Decision, GroupPolicy, policy_of_json, policy_to_json
from roost.store.database import Database
from roost.store.schema import autoscale_decisions, autoscale_policies

KEPT = 200  # decisions per app
_P, _D = autoscale_policies.c, autoscale_decisions.c


def _policy(row: Row[tuple[object, ...]]) -> GroupPolicy:
    data: dict[str, Any] = dict(row._mapping)
    policy = data["policy"]
    return GroupPolicy(data["app"], data["group"], policy_of_json(policy) if policy else None, data["origin"])


class Autoscale:
    """Policies by app and process group, and decisions by app."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def policies(self, app: str | None = None) -> list[GroupPolicy]:
        """Return the policies of an app, or of all."""
        if app is not None:
            return self._policies(app)
        return list(self._db.unchanged("autoscale policies", self._policies))

    def _policies(self, app: str | None = None) -> list[GroupPolicy]:
        query = select(autoscale_policies).order_by(_P.app, _P.group)
        if app is not None:
            query = query.where(_P.app == app)
        with self._db.read() as connection:
            return [_policy(row) for row in connection.execute(query)]

    def put(self, policy: GroupPolicy) -> None:
        """Set a group's policy."""
        with self._db.write() as connection:
            connection.execute(delete(autoscale_policies).where(_P.app == policy.app, _P.group == policy.group))
            connection.execute(insert(autoscale_policies).values(**_values(policy)))

    def deployed(self, app: str, policies: Mapping[str, AutoscalePolicy]) -> None:
        """Take over what a release says: its policies replace those of the release before, and of the same groups."""
        gone = (_P.app == app) & ((_P.origin == "deploy") | _P.group.in_(list(policies)))
        with self._db.write() as connection:
            connection.execute(delete(autoscale_policies).where(gone))
            for group, policy in policies.items():
                values = _values(GroupPolicy(app, group, policy, "deploy"))
                connection.execute(insert(autoscale_policies).values(**values))

    def forget(self, app: str) -> None:
        """Remove all policies of an app."""
        with self._db.write() as connection:
            connection.execute(delete(autoscale_policies).where(_P.app == app))

    def add(self, decision: Decision) -> None:
        """Add a decision; the oldest of its app go."""
        with self._db.write() as connection:
            values = {name: getattr(decision, name) for name in Decision.__slots__}
            connection.execute(insert(autoscale_decisions).values(**values | {"seen": dict(decision.seen)}))
            kept = select(_D.id).where(_D.app == decision.app).order_by(_D.id.desc()).limit(KEPT).scalar_subquery()
            connection.execute(delete(autoscale_decisions).where(_D.app == decision.app, _D.id.not_in(kept)))

    def end(self, decision_id: str, state: str, outcome: str, at: float) -> None:
        """Write down what came of a decision."""
        with self._db.write() as connection:
            connection.execute(
                update(autoscale_decisions)
                .where(_D.id == decision_id)
                .values(state=state, outcome=outcome, ended_at=at)
            )

    def interrupt(self, at: float) -> None:
        """Mark what was under way when roostd ended; the next look goes on from what is there."""
        outcome = "roostd was restarted meanwhile; what was begun is gone on with"
        with self._db.write() as connection:
            connection.execute(
                update(autoscale_decisions)
                .where(_D.state == "under_way")
                .values(state="interrupted", outcome=outcome, ended_at=at)
            )

    def decisions(self, app: str, limit: int) -> Sequence[Decision]:
        """Return the latest decisions, newest first."""
        query = select(autoscale_decisions).where(_D.app == app).order_by(_D.id.desc()).limit(limit)
        with self._db.read() as connection:
            return [Decision(**row._mapping) for row in connection.execute(query)]


def _values(policy: GroupPolicy) -> dict[str, Any]:
    given = None if policy.policy is None else policy_to_json(policy.policy)
    return {"app": policy.app, "group": policy.group, "policy": given, "origin": policy.origin}
