"""Where requests go, and what the edge says to app and client on the way."""

from __future__ import annotations

import asyncio
import os
import uuid

import pytest
from tests.e2e.edge.edge_harness import App, Bench, fetch, serving, until

from roost.edge.contract import Endpoint, Load, Route
from roost.edge.machine_limits import queue_length
from roost.edge.protos import CLUSTER
from roost.model.errors import BadInput, Conflict


async def test_a_host_nobody_knows_gets_a_page_in_the_form_it_asks_for(at: Bench) -> None:
    plain = await at.get(host="nobody.localhost")
    assert plain.status == 404
    assert plain.headers["roost-error"] == "no_such_app"
    assert plain.headers["content-type"].startswith("text/plain")
    html = await at.get(host="nobody.localhost", headers="Accept: text/html\r\n")
    assert html.headers["content-type"].startswith("text/html")
    assert b"There is no &lt;app&gt; here." in html.body
    as_json = await at.get(host="nobody.localhost", headers="Accept: application/json\r\n")
    assert as_json.json()["status"] == "no_such_app"
    head = await at.get(host="nobody.localhost", method="HEAD")
    assert (head.status, head.body) == (404, b"")


async def test_an_awake_app_is_served_without_the_activator(at: Bench) -> None:
    await at.edge.put(at.route())
    answer = await at.get("/a//b/../c?q=1", host="HELLO.localhost:8080")
    assert answer.status == 200
    assert answer.json()["request"] == "GET /a//c?q=1 HTTP/1.1"
    assert answer.json()["host"] == "HELLO.localhost:8080"
    assert at.waker.calls == 0


async def test_a_removed_app_goes_to_the_activator(at: Bench) -> None:
    await at.edge.put(at.route())
    assert await at.edge.remove("hello")
    assert (await at.get()).status == 200
    assert at.waker.calls == 1
    assert await at.edge.remove("hello"), "removing twice is the same as once"


@pytest.mark.parametrize("awake", [True, False])
async def test_the_app_is_told_who_asks_and_the_client_can_not_say_it(at: Bench, awake: bool) -> None:
    if awake:
        await at.edge.put(at.route())
    lies = (
        "Fly-Client-IP: 1.2.3.4\r\nFLY-Region: mars\r\nRoost-Client-IP: 1.2.3.4\r\nRoost-Activator: 1\r\n"
        "Roost-Other: 1\r\nX-Envoy-Retry-On: 5xx\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n"
        "X-Request-Id: mine\r\nX-Forwarded-Ssl: on\r\n"
    )
    answer = await at.get(headers=lies)
    seen, port = answer.json(), str(at.cloud.http_port)
    assert (seen["fly-client-ip"], seen["fly-forwarded-port"], seen["fly-region"]) == ("127.0.0.1", port, "local")
    assert seen["fly-request-id"] == seen["x-request-id"] == answer.headers["fly-request-id"]
    assert uuid.UUID(seen["x-request-id"]).version == 4
    assert seen["x-forwarded-for"] == "9.9.9.9,127.0.0.1"
    assert (seen["x-forwarded-proto"], seen["x-forwarded-ssl"], seen["x-forwarded-port"]) == ("http", "off", port)
    assert seen["via"] == "1.1 roost"
    assert not [name for name in seen if name.startswith(("x-envoy", "roost-"))]
    assert (answer.headers["server"], answer.headers["via"]) == ("roost", "1.1 roost")
    if awake:
        assert "roost-fault" not in answer.headers, "the app can not speak for the edge"


async def test_headers_with_underscores_and_too_many_headers_are_refused(at: Bench) -> None:
    await at.edge.put(at.route())
    assert (await at.get(headers="fly_client_ip: 1\r\n")).status == 400
    assert (await at.get(headers=f"X-Big: {'x' * 70_000}\r\n")).status == 431
    assert (await at.get(headers="".join(f"X-{n}: 1\r\n" for n in range(120)))).status == 431
    assert at.app.requests == 0


async def test_an_app_that_does_not_listen_is_the_apps_fault(at: Bench) -> None:
    async with serving(App()) as gone:
        pass
    await at.edge.put(Route("gone", ("gone.localhost",), (Endpoint("m", "127.0.0.1", gone.port),)))
    answer = await at.get(host="gone.localhost", headers="Accept: text/html\r\n")
    assert (answer.status, answer.headers["roost-fault"]) == (502, "app")
    assert answer.headers["roost-error"] == "app_not_listening"
    assert b"does not accept connections" in answer.body
    as_json = await at.get(host="gone.localhost", headers="Accept: application/json\r\n")
    assert as_json.json()["fault"] == "app"
    at.waker.apps["late.localhost"] = ("late", Endpoint("m", "127.0.0.1", gone.port))
    late = await at.get(host="late.localhost")
    assert (late.status, late.headers["roost-error"]) == (502, "app_not_listening")
    assert str(gone.port).encode() in late.body


async def test_an_app_that_dies_on_a_request_is_the_apps_fault_and_is_not_asked_twice(at: Bench) -> None:
    await at.edge.put(at.route())
    answer = await at.get("/die", method="POST")
    assert (answer.status, answer.headers["roost-error"]) == (502, "app_closed_connection")
    assert at.app.requests == 1


async def test_a_silent_app_runs_into_its_idle_timeout_only_if_it_has_one(at: Bench) -> None:
    await at.edge.put(at.route(idle_timeout=0.2))
    answer = await at.get("/hold")
    assert (answer.status, answer.headers["roost-error"]) == (504, "app_silent")
    await at.edge.put(at.route())
    held = asyncio.create_task(at.get("/hold"))
    done, _ = await asyncio.wait([held], timeout=0.6)
    assert not done
    at.app.release.set()
    assert (await held).status == 200


@pytest.mark.parametrize("by_connection", [False, True])
async def test_above_the_hard_limit_some_wait_and_the_rest_is_refused(at: Bench, by_connection: bool) -> None:
    route = at.route(hard_limit=4, by_connection=by_connection)
    await at.edge.put(route)
    held = [asyncio.create_task(at.get("/hold")) for _ in range(4 + queue_length(route) + 3)]
    await until(lambda: sum(task.done() for task in held) == 3, what="those too many are refused")
    refused = [task.result() for task in held if task.done()]
    assert {(answer.status, answer.headers["roost-error"]) for answer in refused} == {(503, "app_at_hard_limit")}
    assert refused[0].headers["retry-after"] == "1"
    waiting = [task for task in held if not task.done()]
    await at.cell.measure()
    load = (await at.edge.loads() or {}).get("hello", Load())
    assert load.requests == len(waiting)
    assert load.waiting >= queue_length(route) - 5, "until it has a connection, a request that may go counts, too"
    assert 4 <= at.app.active <= 5, "one more at most, of Envoy's second thread"
    most = 0

    async def watch() -> None:
        nonlocal most
        while not all(task.done() for task in waiting):
            most = max(most, at.app.active)
            await asyncio.sleep(0)

    at.app.release.set()
    await asyncio.gather(watch(), *waiting)
    assert {task.result().status for task in waiting} == {200} and most <= 5
    assert (await at.get()).status == 200


async def test_a_machine_above_its_soft_limit_is_spared(at: Bench) -> None:
    async with serving(App(name="second")) as second:
        both = (at.endpoint, Endpoint("00000000000002", "127.0.0.1", second.port))
        await at.edge.put(Route("hello", ("hello.localhost",), both, soft_limit=8))
        held = []
        for number in range(1, 21):
            held.append(asyncio.create_task(at.get("/hold")))
            await until(lambda n=number: at.app.active + second.active == n)
        await at.cell.measure()
        load = (await at.edge.loads() or {})["hello"]
        assert load.machines == {"00000000000001": at.app.active, "00000000000002": second.active}
        assert max(at.app.active, second.active) <= 12, "chosen by chance it would be more than that one time in four"
        at.app.release.set()
        second.release.set()
        assert {answer.status for answer in await asyncio.gather(*held)} == {200}
    assert [(await at.get()).status for _ in range(10)] == [200] * 10, "one that is gone is gone around"


async def test_two_machines_share_the_load_and_one_that_is_gone_is_gone_around(at: Bench) -> None:
    async with serving(App(name="second")) as second:
        both = (at.endpoint, Endpoint("00000000000002", "127.0.0.1", second.port))
        await at.edge.put(Route("hello", ("hello.localhost",), both))
        await asyncio.gather(*(at.get() for _ in range(40)))
        assert at.app.requests + second.requests == 40
        assert min(at.app.requests, second.requests) > 5
    assert [(await at.get()).status for _ in range(10)] == [200] * 10


async def test_a_request_under_way_survives_changes_of_its_route(at: Bench) -> None:
    await at.edge.put(at.route())
    held = asyncio.create_task(at.get("/hold"))
    await until(lambda: at.app.active == 1)
    async with serving(App(name="new")) as new:
        await at.edge.put(Route("hello", ("hello.localhost",), (Endpoint("m2", "127.0.0.1", new.port),)))
        assert (await at.get()).json()["app"] == "new"
        assert await at.edge.remove("hello")
        at.edge._draining.drop_cluster("hello")
        assert await at.cell.xds.settle(CLUSTER, ["app/hello"], 2.0) == ""
        assert not held.done()
        at.app.release.set()
        assert (await held).json()["app"] == "app"


async def test_a_big_upload_streams_through_both_paths(at: Bench) -> None:
    body = os.urandom(1 << 20) * 100
    sleeping = await at.get("/upload", method="POST", body=body)
    assert sleeping.json()["size"] == str(len(body))
    assert at.waker.calls == 1
    await at.edge.put(at.route())
    awake = await at.get("/upload", method="POST", body=body)
    assert awake.json()["size"] == str(len(body))
    assert at.waker.calls == 1


async def test_h2c_is_spoken(at: Bench) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", at.cloud.http_port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
    frame = await asyncio.wait_for(reader.readexactly(9), 5)
    assert frame[3] == 4, "the server's first frame is SETTINGS"
    writer.close()


async def test_a_host_belongs_to_one_app_and_nonsense_is_refused(at: Bench) -> None:
    await at.edge.put(at.route())
    with pytest.raises(Conflict, match=r"hello\.localhost already leads to 'hello'"):
        await at.edge.put(Route("thief", ("hello.localhost",), (at.endpoint,)))
    with pytest.raises(BadInput):
        await at.edge.put(Route("x", ("*",), (at.endpoint,)))
    with pytest.raises(BadInput):
        await at.edge.put(Route("x", ("x.localhost",), ()))
    with pytest.raises(BadInput):
        await at.edge.put(Route("x", ("x.localhost",), (Endpoint("m", "/run/x.sock", 1),)))
    assert (await at.get()).status == 200
    await at.edge.remove("hello")
    await at.edge.put(Route("heir", ("hello.localhost",), (at.endpoint,)))
    assert (await fetch(at.cloud.http_port, "hello.localhost")).status == 200
