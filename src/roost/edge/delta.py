"""One Envoy's view of one resource type, and what to tell it next. Pure.

Invariants: at most one response is unanswered, so a burst of changes becomes one response; a resource
that Envoy refused is not sent again until it changes, and never keeps others from being sent. A
response with several resources that is refused is sent again one by one, to find the culprit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

GONE = ""  # stands for the version of a resource that is not there


@dataclass(frozen=True, slots=True)
class Change:
    """A response to send: resources to set, names to remove."""

    resources: tuple[Any, ...]
    removed: tuple[str, ...]


class Subscription:
    """What Envoy has of one type, what it was sent, and what it refused."""

    def __init__(self) -> None:
        self.has: dict[str, str] = {}  # name -> version that Envoy acknowledged or reported
        self.refused: dict[str, tuple[str, str]] = {}  # name -> (version, Envoy's words)
        self._dirty: set[str] = set()
        self._alone: list[str] = []
        self._sent: dict[str, str] | None = None  # of the unanswered response
        self._nonce = ""
        self._greeted = False
        self._owed: set[str] = set()  # asked for by name: even "there is none" is an answer

    def subscribe(
        self,
        names: list[str],
        reported: Mapping[str, str],
        table: Mapping[str, Any],
        *,
        complete: bool,
        passive: bool = False,
    ) -> None:
        """Take Envoy's subscription. `reported` is what it says it has, on the first request of a stream.

        `passive`: an Envoy that has something is left as it is. Without `complete` the table is not yet known in full
        (roostd restarted): what Envoy has and the table lacks is left alone.
        """
        self.has.update(reported)
        if not reported:
            asked = set(names)
            if self._greeted and asked.isdisjoint(table):  # a namespace was asked for again: Envoy forgot all
                self.has.clear()
            for name in asked:
                self.has.pop(name, None)
        self._greeted = self._greeted or bool(reported)
        if not (passive and self.has):
            self._dirty.update(table)
        if complete:
            self._dirty.update(self.has)

    def touch(self, name: str) -> None:
        """Note that the table's entry `name` was set or removed."""
        self._dirty.add(name)

    def next(
        self, table: Mapping[str, Any], nonce: str, ready: Callable[[str], bool] = lambda _: True
    ) -> Change | None:
        """Return what to send now, or None. `ready` holds back what must wait for another type."""
        if self._sent is not None:
            return None
        if self._alone:
            names = [self._alone.pop()]
        else:
            names = sorted(name for name in self._dirty if ready(name))
            self._dirty.difference_update(names)
        sent: dict[str, str] = {}
        for name in names:
            version = table[name].version if name in table else GONE
            differs = version != self.has.get(name, GONE) or name in self._owed
            if differs and not self._is_refused(name, version):
                sent[name] = version
        self._owed.difference_update(names)
        if not sent and self._greeted:
            return None
        self._greeted = True  # the first answer may be empty: Envoy waits for it
        self._sent, self._nonce = sent, nonce
        return Change(
            tuple(table[name] for name, version in sent.items() if version),
            tuple(name for name, version in sent.items() if not version),
        )

    def answer(self, nonce: str, refusal: str) -> bool:
        """Take Envoy's answer to the response `nonce` ("" accepted it); False if it is not the one awaited."""
        if self._sent is None or nonce != self._nonce:
            return False
        sent, self._sent = self._sent, None
        if not refusal:
            for name, version in sent.items():
                self.refused.pop(name, None)
                if version == GONE:
                    self.has.pop(name, None)
                else:
                    self.has[name] = version
        elif len(sent) == 1:
            name, version = next(iter(sent.items()))
            self.refused[name] = (version, refusal)
        else:
            self._alone.extend(sent)
        return True

    @property
    def unanswered(self) -> Mapping[str, str]:
        """The names, with versions, of the response that Envoy has not answered yet."""
        return self._sent or {}

    def _is_refused(self, name: str, version: str) -> bool:
        return name in self.refused and self.refused[name][0] == version

    def settled(self, name: str, version: str) -> bool:
        """Return whether Envoy has `name` in exactly `version` (GONE: does not have it)."""
        return self.has.get(name, GONE) == version and name not in (self._sent or {})


class NamedSubscription(Subscription):
    """A subscription to certain names only, as for secrets. A name that there is none for is answered with its removal.

    Envoy holds a handshake until the answer comes, and drops its subscription after a removal.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()
        self._greeted = True  # an answer about nothing would be a fault here

    def subscribe(
        self,
        names: list[str],
        reported: Mapping[str, str],
        table: Mapping[str, Any],
        *,
        complete: bool,
        passive: bool = False,
    ) -> None:
        """Take the names that Envoy asks for; what it reports to have is owed only where it differs."""
        del table, complete, passive
        self.has.update(reported)
        for name in names:
            self.asked.add(name)
            if name not in reported:
                self.has.pop(name, None)
                self._owed.add(name)
            self._dirty.add(name)

    def unsubscribe(self, names: list[str]) -> None:
        """Forget names that Envoy wants no longer."""
        for name in names:
            self.asked.discard(name)
            self.has.pop(name, None)
            self._owed.discard(name)
            self._dirty.discard(name)

    def touch(self, name: str) -> None:
        """Note that `name` was set or removed, if Envoy wants it."""
        if name in self.asked:
            self._dirty.add(name)
