"""What becomes of a machine whose main process ended by itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from roost.model.machine import ExitInfo
from roost.model.process_config import Restart

WINDOW = 300.0  # seconds in which `max_retries` restarts are allowed (reference, section 1.4)
FIRST_DELAY = 0.25
LONGEST_DELAY = 30.0


class AfterExit(StrEnum):
    """What to do."""

    RESTART = "restart"
    STOP = "stop"  # it did what it was for, or nobody asked for more
    FAIL = "fail"  # it keeps ending: give up until somebody asks again


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and, for RESTART, after how many seconds."""

    action: AfterExit
    delay: float = 0.0
    restarts: int = 0  # the new count in the window
    reason: str = ""


def after_exit(policy: Restart, exit_info: ExitInfo, *, restarts: int, ran_for: float) -> Decision:
    """Decide from the policy, how it ended, the restarts so far and how long (seconds) it ran this time.

    A run longer than WINDOW starts the count anew. The delay doubles from FIRST_DELAY to LONGEST_DELAY.
    """
    how = exit_info.describe()
    if exit_info.requested_stop or policy.policy == "no":
        return Decision(AfterExit.STOP, reason=f"the machine {how}")
    if policy.policy == "on-failure" and exit_info.exit_code == 0 and not exit_info.signal:
        return Decision(AfterExit.STOP, reason=f"the machine {how} and its restart policy is on-failure")
    so_far = 0 if ran_for > WINDOW else restarts
    if so_far >= policy.max_retries:
        return Decision(
            AfterExit.FAIL, restarts=so_far, reason=f"the machine {how}, and {so_far} restarts did not help"
        )
    delay = min(FIRST_DELAY * 2**so_far, LONGEST_DELAY)
    return Decision(AfterExit.RESTART, delay, so_far + 1, f"the machine {how}: restart {so_far + 1} in {delay:g} s")
