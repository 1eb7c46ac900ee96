"""The SDK against /v1/openapi.json: each route has a method, in the blocking and in the async client."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest

from roost.api.app import create_api
from roost.sdk import AsyncClient, Client
from roost.sdk.group import Group
from roost.sdk.wire import AsyncWire, BlockingWire

WITHOUT = {  # a route that has no method: why
    "GET /metrics": "Prometheus reads it",
    "GET /healthz": "asked inside other calls, to wait for a restarting roostd",
    "GET /.well-known/jwks": "for the libraries that verify identity tokens",
    "GET /.well-known/openid-configuration": "for the libraries that verify identity tokens",
    "PUT /v1/apps/{app}/machines/{machine_id}/metadata": "the same as PATCH, for other clients",
    "GET /v1/apps/{app}/machines/{machine_id}/metadata/{key}": "machines.metadata has all of them",
    "POST /v1/apps/{app}/machines/{machine_id}/metadata/{key}": "machines.set_metadata does it",
    "DELETE /v1/apps/{app}/machines/{machine_id}/metadata/{key}": "machines.set_metadata does it",
    "POST /v1/apps/{app}/secrets/{name}": "secrets.set does it",
    "DELETE /v1/apps/{app}/secrets/{name}": "secrets.set does it",
}
SOCKETS = {f"/v1/apps/{{app}}/machines/{{machine_id}}/{name}" for name in ("console", "proxy")}


class Recorded(Exception):
    """Raised in place of an answer."""


class Recorder:
    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/healthz" and ("GET", "/healthz") not in self.seen:
            self.seen.add(("GET", "/healthz"))
            return httpx2.Response(200, json={})  # what is asked first in an upload
        self.seen.add((request.method, request.url.path))
        raise Recorded

    def socket(self, url: str, *_: object, **__: object) -> None:
        self.seen.add(("GET", httpx2.URL(url).path))
        raise Recorded


def routes(api: Any) -> dict[str, re.Pattern[str]]:
    """The published routes, and the WebSockets."""
    found = [(method.upper(), path) for path, methods in api.openapi()["paths"].items() for method in methods]
    found += [("GET", path) for path in SOCKETS]
    return {f"{m} {p}": re.compile(re.sub(r"\{\w+\}", "[^/]+", f"{m} {p}")) for m, p in found}


def calls(client: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    groups = [("", client), *((f"{name}.", value) for name, value in vars(client).items() if isinstance(value, Group))]
    for prefix, group in groups:
        for name, _ in inspect.getmembers(type(group), lambda member: callable(member)):
            if not name.startswith("_") and name not in ("close", "inside", "keyed"):
                yield prefix + name, getattr(group, name)


def words(method: Callable[..., Any], whole: bool) -> dict[str, Any]:
    """Arguments for a method: the required ones, or all of them."""
    return {
        name: value_for(str(parameter.annotation), name)
        for name, parameter in inspect.signature(method).parameters.items()
        if whole or parameter.default is parameter.empty
    }


def value_for(annotation: str, name: str) -> Any:
    first = annotation.replace(" ", "").split("|")[0]
    if first.startswith("Mapping"):
        return {"a": 1} if "int" in first else {"a": "1"}
    if first.startswith(("Sequence", "list", "tuple")):
        return ["a"]
    if first.startswith("Chunks"):
        return iter([b"x"])
    if name == "path":
        return "/a"
    simple: dict[str, Any] = {"str": "a", "int": 1, "float": 1.0, "bool": True, "bytes": b"a"}
    assert first in simple, f"what is {name}: {annotation}?"
    return simple[first]


async def take(answer: Any) -> None:
    """Let a call happen, whatever kind of answer it has."""
    if inspect.isawaitable(answer):
        await answer
    elif isinstance(answer, AsyncIterator):
        await anext(answer)
    elif isinstance(answer, Iterator):
        next(answer)


async def asked_by(client: Any, recorder: Recorder) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for name, method in calls(client):
        for whole in (False, True):
            recorder.seen.clear()
            with contextlib.suppress(Recorded):
                await take(method(**words(method, whole)))
            out.setdefault(name, set()).update(f"{verb} {path}" for verb, path in recorder.seen)
    return out


@pytest.mark.parametrize("kind", ["blocking", "async"])
async def test_each_route_has_a_method(kind: str, control: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    transport = httpx2.MockTransport(recorder)
    for wire in (BlockingWire, AsyncWire):

        async def socket(self: Any, url: str, *_: object, **__: object) -> None:
            recorder.socket(url)

        monkeypatch.setattr(wire, "socket", socket)
    client: Any = (Client if kind == "blocking" else AsyncClient)("http://127.0.0.1:1", "t", patience=0, http=transport)
    asked = await asked_by(client, recorder)
    published = routes(create_api(control))
    for name, paths in asked.items():
        assert paths, f"{name} asks nothing"
        unknown = {path for path in paths if not any(shape.fullmatch(path) for shape in published.values())}
        assert not unknown, f"{name} asks for what the API doesn't have: {unknown}"
    covered = {
        route
        for route, shape in published.items()
        for paths in asked.values()
        for path in paths
        if shape.fullmatch(path)
    }
    missing = set(published) - covered - set(WITHOUT)
    assert not missing, "routes without a method in the SDK; add one, or the reason to WITHOUT: " + str(sorted(missing))
    assert not set(WITHOUT) - set(published), "WITHOUT names a route that is not there"
