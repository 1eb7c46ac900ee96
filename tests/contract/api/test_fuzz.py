"""No input makes the API fail: schemathesis draws requests from the published OpenAPI document.

Half of them keep the document, half break it. Most name things that exist, so that they get past the 404s. The
fake control plane lies behind, so what is tested is reading, checking and answering. Always the same requests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any
from urllib.parse import unquote

import hypothesis
import hypothesis.strategies as st
import pytest
import schemathesis
from fastapi import FastAPI
from requests import PreparedRequest, Request, Response
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance
from tests.contract.api.fake_control import FakeControl
from tests.contract.api.fake_world import ADMIN
from tests.contract.api.test_every_route import EXAMPLES
from urllib3 import HTTPResponse

from roost.api.app import create_api
from roost.api.limits import Limits

EXAMPLE_COUNT = 12  # of each kind per operation
LIMITS = Limits(silence=1.0, keep_alive=0.05)
CONFIG = {"image": "roost/base:bookworm"}
SCHEMA = schemathesis.openapi.from_dict(create_api(FakeControl()).openapi())
OPERATIONS = sorted((found.ok() for found in SCHEMA.get_all_operations()), key=lambda operation: operation.label)


@schemathesis.serializer("application/gzip")
def _gzip(_: object, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def asgi(app: FastAPI, method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """As `whole`, without the headers of the answer."""
    status, _, answer = await whole(app, method, url, headers, body)
    return status, answer


async def whole(
    app: FastAPI, method: str, url: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Ask the application itself; a stream is read for a moment. Any exception that gets out is the test's."""
    path, _, query = url.removeprefix("http://127.0.0.1").partition("?")
    raw = [(name.lower().encode("latin-1"), value.encode("utf-8")) for name, value in headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), *raw], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return pending.pop() if pending else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    try:
        await asyncio.wait_for(app(scope, receive, send), 30)  # type: ignore[arg-type]
    except TimeoutError:
        assert sent, f"{method} {url} was not answered"
    given = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return sent[0]["status"], given, b"".join(message.get("body", b"") for message in sent)


async def furnished(app: FastAPI) -> dict[str, str]:
    """Make one of everything, and return the ids for paths."""

    async def make(path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = ADMIN | {"Content-Type": "application/json"}
        status, answer = await asgi(app, "POST", path, headers, json.dumps(body).encode())
        assert status < 300, answer
        return dict(json.loads(answer))

    name = EXAMPLES["app"]
    await make("/v1/apps", {"name": name})
    machine = await make(f"/v1/apps/{name}/machines", {"config": CONFIG})
    volume = await make(f"/v1/apps/{name}/volumes", {"name": "data"})
    operation = await make(f"/v1/apps/{name}/deploys", {"image": "debian:bookworm"})
    return EXAMPLES | {"machine_id": machine["id"], "volume_id": volume["id"], "operation_id": operation["id"]}


def answered(wire: PreparedRequest, status: int, headers: dict[str, str], body: bytes) -> Response:
    """Return an answer as schemathesis takes it."""
    made = Response()
    made.status_code, made._content, made.request = status, body, wire
    made.headers.update(headers)
    made.raw = HTTPResponse(headers=headers, status=status)
    return made


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_no_request_makes_it_fail(operation: Any, loop: asyncio.AbstractEventLoop) -> None:
    app = create_api(FakeControl(), limits=LIMITS)
    known = loop.run_until_complete(furnished(app))

    @hypothesis.settings(
        max_examples=EXAMPLE_COUNT,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(data=st.data(), real=st.integers(0, 3))
    def probe(data: st.DataObject, real: int) -> None:
        case: Case = data.draw(strategy)
        if real:
            case.path_parameters = {name: known.get(name, value) for name, value in case.path_parameters.items()}
        if case.query:
            case.query.pop("follow", None)  # an answer without an end
        wire = Request(**case.as_transport_kwargs(base_url="http://127.0.0.1", headers=ADMIN)).prepare()
        body = wire.body.encode() if isinstance(wire.body, str) else bytes(wire.body or b"")
        headers = {name: str(value) for name, value in wire.headers.items()}
        status, given, answer = loop.run_until_complete(whole(app, str(wire.method), str(wire.url), headers, body))
        assert status < 500 or status == 503, (
            f"{wire.method} {wire.url} {body[:500]!r} was answered {status} {answer[:500]!r}"
        )
        if status >= 400 and answer.startswith(b"{"):
            assert set(json.loads(answer)) >= {"error", "status", "hint"}
        case.validate_response(answered(wire, status, given, answer), checks=[response_schema_conformance])

    for mode in GenerationMode:
        strategy = operation.as_strategy(generation_mode=mode)
        with suppress(hypothesis.errors.Unsatisfiable):  # what takes no input can't be asked wrongly
            probe()


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("\ud800"), st.just("\0"),
    st.just(10**400), st.just([]), st.just({}), st.lists(st.integers(), max_size=2), st.just({"": {"": [None]}}),
)  # fmt: skip
RICH: dict[str, Any] = {
    "image": "debian:bookworm",
    "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
    "env": {"A": "b"},
    "init": {"exec": ["sh"], "entrypoint": ["sh"], "cmd": ["-c", "true"]},
    "services": [
        {
            "protocol": "tcp",
            "internal_port": 8080,
            "autostop": "suspend",
            "autostart": True,
            "min_machines_running": 0,
            "ports": [{"port": 443, "handlers": ["tls", "http"], "force_https": True}],
            "concurrency": {"type": "requests", "soft_limit": 20, "hard_limit": 25},
            "checks": [{"type": "http", "port": 8080, "interval": "10s", "timeout": "2s", "path": "/"}],
        }
    ],
    "checks": {"up": {"type": "tcp", "port": 8080, "interval": "10s", "timeout": "2s", "grace_period": "5s"}},
    "mounts": [{"volume": "data", "path": "/data"}],
    "files": [{"guest_path": "/etc/x", "raw_value": "aGk=", "mode": 420}],
    "metadata": {"role": "web"},
    "restart": {"policy": "on-failure", "max_retries": 3},
    "stop_config": {"signal": "SIGTERM", "timeout": "10s"},
    "auto_destroy": False,
    "schedule": "daily",
    "dns": {"nameservers": ["9.9.9.9"], "skip_registration": False},
    "processes": [{"cmd": ["true"], "env": {}, "user": "root"}],
    "containers": [{"name": "a", "image": "debian:bookworm", "cmd": ["true"], "depends_on": []}],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all that lies in a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inside:
        yield (*path, key)
        yield from places(held, (*path, key))


PLACES = list(places(RICH))


def test_anything_anywhere_in_a_configuration_is_an_answer(loop: asyncio.AbstractEventLoop) -> None:
    app = create_api(FakeControl(), limits=LIMITS)
    loop.run_until_complete(furnished(app))

    @hypothesis.settings(max_examples=400, derandomize=True, database=None, deadline=None)
    @hypothesis.given(place=st.sampled_from(PLACES), junk=JUNK, kept=st.sets(st.sampled_from(sorted(RICH))))
    def probe(place: tuple[Any, ...], junk: Any, kept: set[str]) -> None:
        config = deepcopy({key: value for key, value in RICH.items() if key in kept | {"image", place[0]}})
        holder: Any = config
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = junk
        headers = ADMIN | {"Content-Type": "application/json"}
        body = json.dumps({"config": config}).encode()
        path = f"/v1/apps/{EXAMPLES['app']}/machines"
        status, answer = loop.run_until_complete(asgi(app, "POST", path, headers, body))
        assert status < 500, answer
        if status == 400:
            assert json.loads(answer)["error"]

    probe()
