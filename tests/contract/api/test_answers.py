"""The published forms of answers: every route has one, and it says more than "an object"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.api.fake_control import FakeControl

from roost.api.answer_table import ANSWERS
from roost.api.answers import SCHEMAS
from roost.api.app import create_api


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(create_api(FakeControl()).openapi())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_route_that_answers_json_says_what(document: dict[str, Any]) -> None:
    json_routes = set()
    for method, path, operation in operations(document):
        for code, response in operation["responses"].items():
            if code.startswith("2") and "application/json" in response.get("content", {}):
                json_routes.add((method, path))
                assert response["content"]["application/json"]["schema"], f"{method} {path}"
    missing = json_routes - set(ANSWERS)
    assert not missing, f"say in roost.api.answer_table what these answer: {sorted(missing)}"
    unused = set(ANSWERS) - json_routes
    assert not unused, f"rows of roost.api.answer_table for routes that answer no JSON: {sorted(unused)}"


def test_no_reference_leads_nowhere(document: dict[str, Any]) -> None:
    known = set(document["components"]["schemas"])
    assert set(references(document)) <= known
    assert set(SCHEMAS) <= set(references(document)), "a form that nothing uses"


def test_names_of_operations_are_unique(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names), "a generated client makes a method of each"
