"""How many machines each process group of an app has.

A durable operation: it looks at what is there and goes on from that, so it may be killed anywhere and run again. When a
new machine does not become healthy, the app has as many machines as before. The next deploy keeps the counts, 0 too:
that one is written down, as no machine tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from roost.control.capacity import require_room
from roost.control.core import Core
from roost.control.deploys import Deploys
from roost.control.operations import Job, Operations, Step
from roost.control.rollout import Rollout
from roost.model.errors import BadInput, FailedPrecondition
from roost.model.operation import Operation

MOST = 1000  # machines of one group


class Scaling:
    """The verb scale."""

    def __init__(self, core: Core, operations: Operations, deploys: Deploys, rollout: Rollout) -> None:
        self._core = core
        self._operations = operations
        self._deploys = deploys
        self._rollout = rollout
        operations.define("scale", (Step("scale", "Scaling", self._scale, self._undo),))

    def start(self, app: str, counts: Mapping[str, int]) -> Operation:
        """Begin to bring groups to so many machines; the others stay. Raises Conflict while the app deploys."""
        self._core.store.apps.get(app)
        release = self._deploys.current(app)
        if release is None:
            raise FailedPrecondition(
                f"failed_precondition: {app} has no release whose machines could be counted",
                hint=f"deploy it first, or make machines by hand: roost machine run IMAGE -a {app}",
            )
        before = self._rollout.counts(release)
        for group, count in counts.items():
            if group not in before:
                raise BadInput(f"{app} has no process group {group[:63]!r}", hint=f"it has {', '.join(before)}")
            if not 0 <= count <= MOST:
                raise BadInput(f"counts.{group} must be from 0 to {MOST}")
        self._fit_autoscaling(app, counts)
        if any(count > before[group] for group, count in counts.items()):
            require_room(self._core.host, f"more machines of {app}")
        arguments: dict[str, object] = {"release": release.version, "counts": dict(counts), "before": before}
        return self._operations.start("scale", app=app, arguments=arguments)

    def counts(self, app: str) -> dict[str, int]:
        """Return how many machines each process group of the app has, 0 too; raises NotFound for no such app."""
        self._core.store.apps.get(app)
        release = self._deploys.current(app)
        return self._rollout.counts(release) if release is not None else {}

    def _fit_autoscaling(self, app: str, counts: Mapping[str, int]) -> None:
        """Raise BadInput for a count that autoscaling would undo at once."""
        for one in self._core.store.autoscale.policies(app):
            count, policy = counts.get(one.group), one.policy
            if count is not None and policy is not None and count < policy.min:
                raise BadInput(
                    f"{one.group} is autoscaled, and its min is {policy.min}: {count} would not last",
                    hint=f"roost autoscale off {one.group} -a {app}, or lower its min",
                )

    def _scale(self, job: Job) -> None:
        self._to(job, "counts")
        counts = job.arguments["counts"]
        assert isinstance(counts, dict)
        self._core.store.empty_groups.scaled(job.app, {group: int(count) for group, count in counts.items()})

    def _undo(self, job: Job) -> None:
        job.report("Removing what was made")
        self._to(job, "before")

    def _to(self, job: Job, which: str) -> None:
        wanted, counts = job.arguments[which], job.arguments["counts"]
        assert isinstance(wanted, dict) and isinstance(counts, dict)
        release = self._core.store.releases.get(job.app, int(str(job.arguments["release"])))
        for group in counts:
            self._rollout.scale(release, group, int(wanted[group]), job, undoing=which == "before")
