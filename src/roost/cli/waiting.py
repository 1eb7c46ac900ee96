"""Says what a command waits for, once it has said nothing for a second: a spinner on a terminal, else one line.

For calls that the cloud answers when they are done; operations have progress of their own (progress.py). Ctrl-C ends
the wait only: the cloud goes on, which is said. Of a transfer it shows, on a terminal only, how much has gone
and how fast.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from roost.cli.output import note, printable

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

QUIET = 1.0  # seconds

Passed = Callable[[int], None]  # takes how many bytes more have gone


class _Display:
    """What is shown of one wait; `show` returns what takes it away. It never appears when the wait is over."""

    def __init__(self, show: Callable[[], Callable[[], None]]) -> None:
        self._show, self._over, self._lock = show, False, threading.Lock()
        self._hide: Callable[[], None] = lambda: None

    def show(self) -> None:
        with self._lock:
            if not self._over:
                self._hide = self._show()

    def close(self) -> None:
        with self._lock:
            self._over = True
            self._hide()


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Tell `what` is being done while the block takes longer than a second."""
    what = printable(what)
    with _after_a_while(lambda: _tell(what)) as display:
        try:
            yield
        except KeyboardInterrupt:
            display.close()
            note("\nNo longer waiting; the cloud may go on with it.")
            raise


@contextmanager
def transferring(what: str, total: int | None) -> Iterator[Passed]:
    """Show how many bytes have gone, of `total` if that is known, while the block takes longer than a second."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    bar = _transfer_bar()
    task = bar.add_task(printable(what), total=total)

    with _after_a_while(lambda: _begin(bar)):
        yield lambda count: bar.advance(task, count)


@contextmanager
def _after_a_while(show: Callable[[], Callable[[], None]]) -> Iterator[_Display]:
    display = _Display(show)
    timer = threading.Timer(QUIET, display.show)
    timer.daemon = True
    timer.start()
    try:
        yield display
    finally:
        timer.cancel()
        display.close()


def _tell(what: str) -> Callable[[], None]:
    if not sys.stderr.isatty():
        note(f"==> {what}")
        return lambda: None
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    bar = _bar(SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    bar.add_task(what, total=None)
    return _begin(bar)


def _transfer_bar() -> Progress:
    from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TextColumn, TransferSpeedColumn

    what = TextColumn("{task.description}", markup=False)
    return _bar(SpinnerColumn(), what, BarColumn(24), DownloadColumn(), TransferSpeedColumn())


def _begin(bar: Progress) -> Callable[[], None]:
    bar.start()
    return bar.stop


def _bar(*columns: ProgressColumn) -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    return Progress(*columns, console=console, transient=True)
