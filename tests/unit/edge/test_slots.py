"""Places on a machine: in turn, given back once, and none for who gave up."""

from __future__ import annotations

import asyncio

from roost.edge.contract import Endpoint
from roost.edge.slots import Slots

AT = Endpoint("m1", "10.0.0.2", 8080)
OTHER = Endpoint("m2", "10.0.0.3", 8080)


async def test_places_are_given_in_turn_and_each_once() -> None:
    freed: list[str] = []
    slots = Slots(freed.append)
    assert await slots.enter("a", AT, 1, 1)
    first, second = (asyncio.create_task(slots.enter("a", AT, 1, 1)) for _ in range(2))
    await asyncio.sleep(0)
    assert slots.held("a") == 3
    slots.leave("a", AT)
    assert await first
    assert not second.done()
    slots.leave("a", AT)
    assert await second
    slots.leave("a", AT)
    assert (freed, slots.held("a"), slots._active, slots._lines, slots._routed) == (["a"], 0, {}, {}, {})


async def test_who_waits_too_long_or_is_cancelled_takes_no_place() -> None:
    slots = Slots()
    assert await slots.enter("a", AT, 1, 1)
    assert await slots.enter("a", AT, 1, 0.01) is None
    waits, cancelled = (asyncio.create_task(slots.enter("a", AT, 1, 1)) for _ in range(2))
    await asyncio.sleep(0)
    slots.leave("a", AT)
    waits.cancel()  # it has the place and does not know yet
    cancelled.cancel()
    await asyncio.gather(waits, cancelled, return_exceptions=True)
    assert (slots.held("a"), slots._lines) == (0, {})
    assert await slots.enter("a", AT, 1, 1)


async def test_who_waits_goes_to_another_machine_as_soon_as_one_is_there() -> None:
    slots = Slots()
    assert await slots.enter("a", AT, 1, 1) == AT
    slots.routed("b", (OTHER,), 1)  # of an app that has nobody here
    waiting = [asyncio.create_task(slots.enter("a", AT, 1, 1)) for _ in range(3)]
    await asyncio.sleep(0)
    slots.routed("a", (AT, OTHER), 1)
    assert await waiting[0] == OTHER and not waiting[1].done()
    slots.leave("a", OTHER)
    assert await waiting[1] == OTHER and not waiting[2].done()
    slots.leave("a", AT)
    assert await waiting[2] == AT
    slots.leave("a", OTHER)
    assert await slots.enter("a", AT, 1, 1) == OTHER, "the other one has room at once"
    for place in (AT, OTHER):
        slots.leave("a", place)
    assert (slots.held("a"), slots._active, slots._lines, slots._routed) == (0, {}, {}, {})
