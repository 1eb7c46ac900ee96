"""The OpenAPI document, as it is true of this API: what each route answers, and errors in their one form."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from roost.api.answer_table import ANSWERS
from roost.api.answers import SCHEMAS, Schema

_ERROR = {
    "type": "object",
    "required": ["error", "status", "hint"],
    "properties": {
        "error": {"type": "string", "description": "what was tried, on what, and why it failed"},
        "status": {"type": "string", "description": "a machine-readable word, for example name_taken"},
        "hint": {"type": "string", "description": "what to do next; may be empty"},
    },
}
_ANSWER = {
    "description": "It failed",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


def publish(app: FastAPI) -> None:
    """Make `app` publish the corrected document; it is built once, when first asked for."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = corrected(get_openapi(title=app.title, version=app.version, routes=app.routes))
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def corrected(document: dict[str, Any]) -> dict[str, Any]:
    """Return the framework's document with the errors that Roost really answers."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Error"] = _ERROR
    schemas.update(SCHEMAS)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operation["responses"].pop("422", None)
            _say_what_is_answered(operation["responses"], ANSWERS.get((method.upper(), path)))
            if operation.get("security"):
                operation["responses"]["default"] = _ANSWER
    return document


def _say_what_is_answered(responses: dict[str, Any], schema: Schema | None) -> None:
    """Put the form of a success in place of the framework's, which knows none; without one there is no body."""
    for code, response in responses.items():
        if code.startswith("2") and (as_json := response.get("content", {}).get("application/json")) is not None:
            if schema is None and not as_json.get("schema"):
                del response["content"]
            elif schema is not None:
                as_json["schema"] = schema
