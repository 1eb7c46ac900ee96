"""Why apps could not be woken by who knocked at a door, until the lines of these requests come. Pure.

Envoy sees of a failed wake only that the door hung up. roostd knows the reason at that moment; the request's line in
Envoy's log comes up to seconds later, when Envoy has given up. State: the latest reason of each app, at most `APPS`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from roost.edge.accesslog import CLUSTER, FLAGS, Entry
from roost.edge.entries import ended_at, read_entry
from roost.model.edge_errors import edge_error
from roost.model.request import Request

APPS = 4096
KEPT = 15.0  # seconds in which a reason counts; the door is closed for a shorter time, and knocks are tried again
UNTOLD = "not_woken"


class Refusals:
    """Reasons by app. Times are Unix seconds."""

    def __init__(self) -> None:
        self._latest: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def note(self, app: str, code: str, at: float) -> None:
        """Keep why an app could not be woken."""
        self._latest[app] = (code, at)
        self._latest.move_to_end(app)
        if len(self._latest) > APPS:
            self._latest.popitem(last=False)

    def of(self, app: str, at: float) -> str:
        """Return the class of what went wrong with the app just before `at`, "" if nothing is known."""
        code, noted = self._latest.get(app, ("", 0.0))
        return code if abs(at - noted) <= KEPT else ""

    def explained(self, app: str, request: Request) -> Request:
        """Return a request with the reason that Envoy could not know."""
        if request.error != UNTOLD:
            return request
        return replace(request, error=self.of(app, request.at + request.total / 1000) or UNTOLD)

    def turned_away(self, app: str, entry: Entry) -> Request | None:
        """Return a connection to a port as a request, if the app could not be woken for it.

        Raises ValueError, TypeError.
        """
        code = self.of(app, ended_at(entry)) if "UF" in (entry[FLAGS] or "").split(",") else ""
        if not code:
            return None
        read = read_entry(entry, "", None)
        port = str(entry[CLUSTER]).split("/")[2]
        status = edge_error(code).status
        return replace(read, protocol="TCP", host=f":{port}", status=status, error=code, queue=0.0, wake=read.total)
