"""Things that take a while to make, made before anyone asks: a few are kept ready, in the background.

State: what is ready, and whether a thread makes more. Invariants: a thing is given to one taker or dropped, also when
this ends meanwhile; once `refill` was called there are as many as there should be, soon, unless one can't be made:
then the next `refill` tries again. Whether a thread goes on is decided under the lock under which one is asked for, so
that no refill is missed as the thread ends.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from roost.model.errors import RoostError

_T = TypeVar("_T")


class Spares(Generic[_T]):
    """Keeps up to `number` things ready. `make` may raise RoostError or OSError; `drop` gives an unused one up."""

    def __init__(self, make: Callable[[], _T], drop: Callable[[_T], None], *, number: int, name: str) -> None:
        self._make = make
        self._drop = drop
        self._number = number
        self._name = name
        self._ready: deque[_T] = deque()
        self._lock = threading.Lock()
        self._refilling = False
        self._closing = threading.Event()

    def take(self) -> _T | None:
        """Return a thing that is ready, which is the caller's then; None when there is none."""
        with self._lock:
            return self._ready.popleft() if self._ready else None

    def __len__(self) -> int:
        """How many are ready."""
        return len(self._ready)

    def refill(self, *, after: float = 0.0) -> None:
        """Bring them up to their number in a background thread, `after` seconds from now. Returns at once."""
        with self._lock:
            if self._refilling or self._closing.is_set() or not self._number:
                return
            self._refilling = True
        threading.Thread(target=self._refill, args=(after,), name=self._name, daemon=True).start()

    def close(self) -> None:
        """Drop what is ready, and make no more. Twice is once."""
        with self._lock:
            self._closing.set()
            unused = list(self._ready)
            self._ready.clear()
        for thing in unused:
            self._drop(thing)

    def _refill(self, after: float) -> None:
        self._closing.wait(after)
        while self._wanting():
            try:
                thing = self._make()
            except BaseException as error:
                with self._lock:
                    self._refilling = False
                if isinstance(error, RoostError | OSError):
                    return  # who finds no spare makes one, and reports why it can't
                raise
            self._put(thing)

    def _wanting(self) -> bool:
        with self._lock:
            self._refilling = not self._closing.is_set() and len(self._ready) < self._number
            return self._refilling

    def _put(self, thing: _T) -> None:
        with self._lock:
            kept = not self._closing.is_set()
            if kept:
                self._ready.append(thing)
        if not kept:
            self._drop(thing)
