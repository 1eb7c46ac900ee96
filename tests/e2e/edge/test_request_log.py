"""What the edge tells of each request: who, what, how long each part took, and what went wrong."""

from __future__ import annotations

import asyncio
import time

from tests.e2e.edge.edge_harness import App, Bench, serving, until
from tests.e2e.edge.test_error_classes import answering, raw, told

from roost.edge.contract import Endpoint, Refusal, WakeResult


async def test_a_request_that_goes_straight(at: Bench) -> None:
    await at.edge.put(at.route())
    before = time.time()
    answer = await at.get("/one?token=secret", headers="Cookie: a=b\r\nAuthorization: Bearer x\r\n")
    one = await at.logged("/one?token=*")
    assert before <= one.at <= time.time()
    assert (one.method, one.host, one.status, one.protocol) == ("GET", "hello.localhost", 200, "HTTP/1.1")
    assert (one.client, one.machine, one.tries, one.error) == ("127.0.0.1", at.endpoint.machine_id, 1, "")
    assert one.bytes_out == len(answer.body)
    assert one.id == answer.headers["fly-request-id"]
    assert one.wake == 0
    assert 0 < one.connect < one.total
    assert 0 < one.app < one.total
    for number in range(12):  # each of Envoy's threads has connections of its own
        await at.get(f"/again-{number}")
    again = [await at.logged(f"/again-{number}") for number in range(12)]
    assert any(request.connect == 0 for request in again), "a connection that was there is not counted as made"
    assert "secret" not in one.to_line()
    assert "Bearer" not in one.to_line()


async def test_a_slow_app_is_not_taken_for_a_slow_edge(at: Bench) -> None:
    await at.edge.put(at.route())
    held = asyncio.create_task(at.get("/hold", method="POST", body=b"x" * 1000))
    await until(lambda: at.app.active == 1)
    await asyncio.sleep(0.2)
    at.app.release.set()
    await held
    slow = await at.logged("/hold")
    assert slow.app > 190 > 50 > slow.queue + slow.connect
    assert slow.bytes_in == 1000


async def test_a_wake_is_told_from_the_app(at: Bench) -> None:
    at.waker.delay = 0.3
    await at.get("/asleep")
    one = await at.logged("/asleep")
    assert one.wake > 290
    assert one.machine == at.endpoint.machine_id
    assert one.queue + one.connect + one.app < 100
    assert one.error == ""


async def test_what_the_activator_refuses_is_logged_for_the_app(at: Bench) -> None:
    refusal = Refusal(502, "app", "app_exited", "It exited.", "")

    async def wake(_host: str) -> WakeResult:
        return WakeResult(refusal=refusal, app="hello")

    (cell,) = at.edge._cells.values()
    cell.activator._waker.wake = wake  # type: ignore[method-assign]
    answer = await at.get("/exits")
    one = await at.logged("/exits")
    assert (one.error, one.fault, one.status) == ("app_exited", "app", 502)
    assert answer.headers["fly-error"] == "PR01"


async def test_nobodys_requests_are_told_without_an_app(at: Bench) -> None:
    await at.get("/x", host="nobody.localhost")
    assert (await at.logged("/x", app="")).error == "no_such_app"
    await raw(at.cloud.http_port, b"GARBAGE\r\n\r\n")
    await until(lambda: any(r.error == "bad_request" for _, r in at.ended))


async def test_errors_are_logged_as_they_were_told(at: Bench) -> None:
    await at.edge.put(at.route(idle_timeout=0.2))
    assert (await at.get("/hold")).headers["roost-error"] == (await at.logged("/hold")).error == "app_silent"
    assert (await at.get("/die")).headers["roost-error"] == (await at.logged("/die")).error == "app_closed_connection"
    async with serving(App()) as gone:
        pass
    await at.edge.put(at.route().__class__("gone", ("gone.localhost",), (Endpoint("m", "127.0.0.1", gone.port),)))
    answer = await at.get("/gone", host="gone.localhost")
    one = await at.logged("/gone", app="gone")
    assert answer.headers["roost-error"] == one.error == "app_not_listening"
    assert one.tries == 3
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
    async with answering(at, cut):
        answered = await raw(at.cloud.http_port, b"GET /cut HTTP/1.1\r\nHost: bad.localhost\r\n\r\n")
        assert told(answered) == (200, "", "")
        assert (await at.logged("/cut", app="bad")).error == "app_broke_off"
    async with answering(at, b"HTTP/1.1 503 Mine\r\nContent-Length: 0\r\n\r\n"):
        await raw(at.cloud.http_port, b"GET /own HTTP/1.1\r\nHost: bad.localhost\r\nConnection: close\r\n\r\n")
        assert (await at.logged("/own", app="bad")).error == "app_answered_5xx"


async def test_a_client_that_leaves_is_not_the_apps_fault(at: Bench) -> None:
    await at.edge.put(at.route())
    left = asyncio.create_task(at.get("/hold"))
    await until(lambda: at.app.active == 1)
    left.cancel()
    one = await at.logged("/hold")
    assert (one.status, one.error, one.fault) == (0, "client_gone", "client")


async def test_a_keeper_that_is_stuck_holds_up_no_request_and_losses_are_counted(at: Bench) -> None:
    await at.edge.put(at.route())
    feed = at.edge._feed
    stuck = feed.take
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    feed.take = lambda lot: asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10) and None
    from roost.edge import feed as module

    module_queue, module.QUEUE = module.QUEUE, 20
    try:
        for _ in range(60):
            assert (await at.get()).status == 200
        await until(lambda: at.edge.unlogged > 0)
    finally:
        module.QUEUE = module_queue
        gate.set()
        feed.take = stuck
