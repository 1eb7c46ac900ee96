"""Whether a cell of the edge serves worse since its configuration changed. Pure.

What an app answers is the app's, a 5xx too, and says nothing of a configuration. Errors count that the edge makes: its
own, and that it does not reach an app, unless roostd does not reach it either. Broken-off answers, refused requests and
the like may be the fault of one app or its clients, so they count only when they begin with several apps at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

ENOUGH = 20  # answers that a verdict on a cell needs
ENOUGH_OF_APP = 5  # and one on an app
JUMP = 0.2  # of all answers, by which errors may not grow
OWN = frozenset(("edge_failed", "no_machine", "control_plane_restarting", "statics_unavailable"))
UNREACHED = frozenset(("app_not_listening", "app_not_accepting"))
DOUBTFUL = frozenset(
    (
        "app_closed_connection", "app_invalid_answer", "app_silent", "app_broke_off",
        "bad_request", "no_route", "headers_too_large", "body_too_large", "upgrade_refused", "client_too_slow",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answers:
    """What a cell has answered for one app in a while. Other classes of errors count as good answers."""

    total: int = 0
    own: int = 0
    unreached: int = 0
    doubtful: int = 0

    def plus(self, error: str, count: int) -> Answers:
        """Return it with `count` more answers, which were errors of this class or, with "", none."""
        return Answers(
            self.total + count,
            self.own + count * (error in OWN),
            self.unreached + count * (error in UNREACHED),
            self.doubtful + count * (error in DOUBTFUL),
        )


ByApp = Mapping[str, Answers]  # "" has what was for no app


def suspects(before: ByApp, after: ByApp) -> set[str]:
    """Return the apps that the cell no longer reaches: whether roostd does decides whose fault that is."""
    return {
        app
        for app, found in after.items()
        if app and found.total >= ENOUGH_OF_APP and _jumped(before.get(app, Answers()), found, "unreached")
    }


def is_worse(before: ByApp, after: ByApp, reached: Collection[str] = ()) -> bool:
    """Say whether a cell's errors grew far above what they were before. `reached`: suspects that roostd reaches."""
    return _edge_fails(before, after, reached) or _apps_fail(before, after)


def _edge_fails(before: ByApp, after: ByApp, reached: Collection[str]) -> bool:
    def part(told: ByApp) -> tuple[int, float]:
        total = sum(one.total for one in told.values())
        failed = sum(one.own + (one.unreached if app in reached else 0) for app, one in told.items())
        return total, failed / total if total else 0.0

    total, failed = part(after)
    return total >= ENOUGH and failed > part(before)[1] + JUMP


def _apps_fail(before: ByApp, after: ByApp) -> bool:
    """Say whether half of the apps that are called, and two at least, began to fail."""
    called = {app: found for app, found in after.items() if app and found.total >= ENOUGH_OF_APP}
    failing = [app for app, found in called.items() if _jumped(before.get(app, Answers()), found, "doubtful")]
    total = sum(one.total for one in called.values())
    return total >= ENOUGH and len(failing) >= 2 and 2 * len(failing) >= len(called)


def _jumped(before: Answers, after: Answers, kind: str) -> bool:
    usual = getattr(before, kind) / before.total if before.total else 0.0
    return bool(getattr(after, kind) / after.total > usual + JUMP)
