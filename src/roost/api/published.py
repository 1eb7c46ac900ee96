"""The OpenAPI document, as it is true of this API: errors are `{error, status, hint}`, and there is no 422 form."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

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
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            if operation.get("security"):
                operation["responses"]["default"] = _ANSWER
    return document
