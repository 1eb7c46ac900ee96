"""Incremental xDS bookkeeping, against a model of Envoy that applies what it is sent."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from roost.edge.delta import Change, Subscription


@dataclass(frozen=True)
class Thing:
    name: str
    version: str


def table(**versions: str) -> dict[str, Thing]:
    return {name: Thing(name, version) for name, version in versions.items()}


def shown(change: Change | None) -> tuple[dict[str, str], set[str]] | None:
    return change and ({thing.name: thing.version for thing in change.resources}, set(change.removed))


def fresh(things: dict[str, Thing], reported: dict[str, str] | None = None, *, complete: bool = True) -> Subscription:
    subscription = Subscription()
    subscription.subscribe([], reported or {}, things, complete=complete)
    return subscription


def test_a_fresh_envoy_gets_everything_once() -> None:
    things = table(a="1", b="1")
    subscription = fresh(things)
    assert shown(subscription.next(things, "1")) == ({"a": "1", "b": "1"}, set())
    assert subscription.next(things, "2") is None
    assert not subscription.settled("a", "1")
    assert subscription.answer("1", "")
    assert subscription.settled("a", "1")
    assert subscription.next(things, "2") is None


def test_a_fresh_envoy_gets_an_answer_even_when_there_is_nothing() -> None:
    subscription = fresh({})
    assert shown(subscription.next({}, "1")) == ({}, set())


def test_an_envoy_that_is_up_to_date_gets_nothing() -> None:
    things = table(a="1")
    assert fresh(things, {"a": "1"}).next(things, "1") is None


def test_what_envoy_has_beyond_the_table_goes_only_when_the_table_is_complete() -> None:
    things = table(a="1")
    assert fresh(things, {"a": "1", "old": "1"}, complete=False).next(things, "1") is None
    assert shown(fresh(things, {"a": "1", "old": "1"}).next(things, "1")) == ({}, {"old"})


def test_changes_while_one_is_unanswered_become_one() -> None:
    things = table(a="1")
    subscription = fresh(things)
    subscription.next(things, "1")
    things |= table(a="2", b="1")
    subscription.touch("a")
    things |= table(a="3")
    subscription.touch("a")
    subscription.touch("b")
    assert subscription.next(things, "2") is None
    assert not subscription.answer("stale", "")
    assert subscription.next(things, "2") is None
    subscription.answer("1", "")
    assert shown(subscription.next(things, "2")) == ({"a": "3", "b": "1"}, set())


def test_set_and_removed_again_sends_nothing() -> None:
    subscription = fresh({}, {"z": "1"}, complete=False)
    subscription.touch("a")
    assert subscription.next({}, "1") is None


def test_a_removal_that_was_refused_once_is_not_mistaken_for_a_refused_version() -> None:
    things = table(a="1")
    subscription = fresh(things)
    subscription.next(things, "1")
    subscription.answer("1", "")
    subscription.touch("a")
    assert shown(subscription.next({}, "2")) == ({}, {"a"})
    subscription.answer("2", "")
    assert subscription.settled("a", "")


def test_the_refused_one_is_found_and_the_others_arrive() -> None:
    things = table(good="1", bad="1", fine="1")
    subscription = fresh(things)
    nonce = 0
    while change := subscription.next(things, str(nonce)):
        bad = any(thing.name == "bad" and thing.version == "1" for thing in change.resources)
        subscription.answer(str(nonce), "no such thing" if bad else "")
        nonce += 1
        assert nonce < 10
    assert subscription.has == {"good": "1", "fine": "1"}
    assert subscription.refused == {"bad": ("1", "no such thing")}
    things |= table(bad="2")
    subscription.touch("bad")
    assert shown(subscription.next(things, "x")) == ({"bad": "2"}, set())
    subscription.answer("x", "")
    assert subscription.refused == {}


def test_what_is_held_back_is_sent_when_it_is_ready() -> None:
    things = table(a="1", b="1")
    subscription = fresh(things)
    assert shown(subscription.next(things, "1", lambda name: name == "a")) == ({"a": "1"}, set())
    subscription.answer("1", "")
    assert subscription.next(things, "2", lambda name: name == "a") is None
    assert shown(subscription.next(things, "2")) == ({"b": "1"}, set())


def test_a_name_asked_for_again_is_sent_again() -> None:
    things = table(edge="1")
    subscription = fresh(things)
    subscription.next(things, "1")
    subscription.answer("1", "")
    subscription.subscribe(["edge"], {}, things, complete=True)
    assert shown(subscription.next(things, "2")) == ({"edge": "1"}, set())


_names = st.sampled_from("abcd")
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), _names, st.sampled_from("123")),
        st.tuples(st.just("delete"), _names),
        st.tuples(st.just("answer")),
        st.tuples(st.just("refuse")),
        st.tuples(st.just("reconnect")),
    ),
    max_size=40,
)


@given(_steps)
def test_envoy_ends_with_the_table_whatever_happens(steps: list[tuple[str, ...]]) -> None:
    """A model of Envoy refuses version 3 of anything, keeps what it had, and may reconnect at any time."""
    things: dict[str, Thing] = {}
    envoy: dict[str, str] = {}
    subscription = fresh(things)
    waiting: Change | None = None
    count = 0

    def answer(refuse: bool) -> None:
        nonlocal waiting
        if waiting is None:
            return
        bad = refuse or any(thing.version == "3" for thing in waiting.resources)
        if not bad:
            envoy.update({thing.name: thing.version for thing in waiting.resources})
            for name in waiting.removed:
                envoy.pop(name, None)
        subscription.answer(str(count), "bad" if bad else "")
        waiting = None

    def send() -> None:
        nonlocal waiting, count
        if waiting is None:
            waiting = subscription.next(things, str(count + 1))
            count += waiting is not None

    for step in [*steps, ("reconnect",)]:
        match step:
            case ("set", name, version):
                things[name] = Thing(name, version)
                subscription.touch(name)
            case ("delete", name):
                things.pop(name, None)
                subscription.touch(name)
            case ("answer",):
                answer(refuse=False)
            case ("refuse",):
                answer(refuse=True)
            case _:
                waiting = None
                subscription = fresh(things, dict(envoy))
        send()
    for _ in range(20):
        answer(refuse=False)
        send()
    assert waiting is None
    wanted = {name: thing.version for name, thing in things.items() if thing.version != "3"}
    assert {name: version for name, version in envoy.items() if name in wanted} == wanted
    assert set(envoy) <= set(things)
