"""Following an operation on the terminal: its steps, its output, its end, and Ctrl-C.

The operation lives on the server. If this process dies, it goes on there; Ctrl-C asks the server to
cancel it and waits for the undo, a second Ctrl-C leaves at once.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from roost.cli.exits import Interrupted, OperationFailed, RolledBack
from roost.cli.output import note, printable
from roost.model.errors import RoostError
from roost.model.operation import OperationState, Progress

if TYPE_CHECKING:
    from roost.sdk import Client
    from roost.sdk.shapes import Operation

_CANCELLED = "the {} was cancelled, and what it had begun was undone"


class Display(Protocol):
    """Shows an operation's progress as it comes."""

    def show(self, progress: Progress) -> None:
        """Show one line of it."""

    def close(self) -> None:
        """Leave the terminal tidy."""


class PlainDisplay:
    """Lines on standard error, for logs and pipes: `==> step`, and its output indented."""

    def show(self, progress: Progress) -> None:
        """Print it, if it says anything."""
        if progress.kind == "step":
            note(f"==> {printable(progress.text or progress.step)}")
        elif progress.kind == "log":
            for line in progress.text.splitlines():
                note(f"    {printable(line)}")

    def close(self) -> None:
        """Nothing to tidy."""


class LiveDisplay:
    """A bar of the steps at the bottom of the terminal, the output scrolling above it."""

    def __init__(self, steps: list[str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._steps = steps
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(24))
        self._bar = Bar(*columns, MofNCompleteColumn(), TimeElapsedColumn(), console=self._console, transient=True)
        self._task = self._bar.add_task("starting", total=max(len(steps), 1))
        self._bar.start()

    def show(self, progress: Progress) -> None:
        """Move the bar, or print a line above it."""
        from rich.text import Text

        if progress.kind == "step":
            title = printable(progress.text or progress.step)
            done = self._steps.index(progress.step) if progress.step in self._steps else None
            self._bar.update(self._task, description=title, completed=done)
            self._console.print(f"==> {title}", style="bold")
        elif progress.kind == "log":
            for line in progress.text.splitlines():
                text = Text.from_ansi(printable(line, colours=True))
                self._console.print(Text("    ").append_text(text), style="dim")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def display_for(operation: Operation) -> Display:
    """Return the display that suits standard error."""
    return LiveDisplay(list(operation.get("steps") or [])) if sys.stderr.isatty() else PlainDisplay()


def follow(client: Client, operation: Operation) -> Operation:
    """Show an operation until it ends and return it; raises OperationFailed, RolledBack or Interrupted."""
    display = display_for(operation)
    interrupted = False
    last = 0
    try:
        while True:
            try:
                for progress in client.operations.follow(operation["id"], after=last):
                    last = progress.number
                    display.show(progress)
                break
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                note(f"\nCancelling {operation['kind']} on the server; Ctrl-C again leaves it to itself.")
                client.operations.cancel(operation["id"])
    finally:
        display.close()
    return _ended(client, client.operations.get(operation["id"]), interrupted=interrupted)


def _ended(client: Client, operation: Operation, *, interrupted: bool) -> Operation:
    state, kind = operation.get("state"), operation.get("kind", "operation")
    if state == OperationState.SUCCEEDED:
        if interrupted:
            note(f"Too late to cancel: the {kind} had succeeded.")
        return operation
    if interrupted and state == OperationState.CANCELLED:
        raise Interrupted(_CANCELLED.format(kind))
    message, hint = operation.get("error") or "it ended without saying why", operation.get("hint", "")
    if state == OperationState.CANCELLED:
        message = _CANCELLED.format(kind)
    shown = hint or f"roost operations show {operation['id']} --logs"
    if state == OperationState.FAILED and _rolled_back(client, operation):
        raise RolledBack(message, hint=hint or f"roost logs -a {operation.get('app', '')}")
    raise OperationFailed(message, hint=shown)


def _rolled_back(client: Client, operation: Operation) -> bool:
    """Tell whether a failed operation had made a release that was taken back for the one that serves again."""
    app = operation.get("app")
    if not app or operation.get("kind") not in ("deploy", "rollback"):
        return False
    with suppress(RoostError):
        releases = client.releases.list(app)
        newest = releases[0] if releases else {}
        began, made = operation.get("created_at", ""), newest.get("created_at", "")
        before = any(release.get("status") == "complete" for release in releases)
        return before and newest.get("status") == "failed" and made >= began
    return False
