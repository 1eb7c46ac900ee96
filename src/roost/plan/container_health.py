"""What the results of a container's health check so far mean: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from roost.model.containers import Healthcheck

EAGER_INTERVAL = 0.5  # seconds between checks within the grace period, until the first success


@dataclass(frozen=True, slots=True)
class Health:
    """Of one check. Times are seconds on one clock."""

    started_at: float
    status: str = "warning"  # passing | warning | critical, as the API has it
    in_a_row: int = 0  # successes, or (below 0) failures that count
    passed: bool = False  # ever, since the container's start
    output: str = "no check has run yet"
    checked_at: float = 0.0

    def observe(self, check: Healthcheck, passing: bool, output: str, now: float) -> Health:
        """Return what is known after a result; failures within the grace period don't count before a success."""
        in_grace = not self.passed and now - self.started_at < check.grace_period
        failed = 0 if in_grace else min(0, self.in_a_row) - 1
        in_a_row = max(0, self.in_a_row) + 1 if passing else failed
        status = self.status
        if in_a_row >= check.success_threshold:
            status = "passing"
        elif -in_a_row >= check.failure_threshold:
            status = "critical"
        return replace(
            self,
            status=status,
            in_a_row=in_a_row,
            passed=self.passed or status == "passing",
            output=output,
            checked_at=now,
        )

    def pause(self, check: Healthcheck, now: float) -> float:
        """Return the seconds until the next check."""
        in_grace = not self.passed and now - self.started_at < check.grace_period
        eager = in_grace or (self.in_a_row > 0 and not self.passed)
        return min(check.interval, EAGER_INTERVAL) if eager else check.interval
