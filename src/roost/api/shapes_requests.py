"""Requests and their percentiles as JSON. Pure."""

from __future__ import annotations

from typing import Any

from roost.api.shapes import time_to_json
from roost.control.contract_requests import RequestEntry, RequestSummary
from roost.model.edge_errors import edge_error
from roost.model.request import PARTS
from roost.model.request_stats import Window

Json = dict[str, Any]


def request_to_json(entry: RequestEntry) -> Json:
    """Return one request; `cursor` is its place in the app's log."""
    request = entry.request
    return {
        "timestamp": time_to_json(request.at),
        "id": request.id,
        "method": request.method,
        "host": request.host,
        "path": request.path,
        "status": request.status,
        "protocol": request.protocol,
        "client": request.client,
        "machine": request.machine,
        "bytes_in": request.bytes_in,
        "bytes_out": request.bytes_out,
        "latency_ms": {part: getattr(request, part) for part in PARTS},
        "tries": request.tries,
        "error": request.error,
        "fault": request.fault,
        "alike": request.alike,
        "detail": request.detail,
        "cursor": entry.cursor,
    }


def summary_to_json(summary: RequestSummary) -> Json:
    """Return the three windows of an app, the shortest first."""
    return {
        "app": summary.app,
        "windows": [_window(window) for window in summary.windows],
        "dropped": summary.dropped,
        "left_out": list(summary.left_out),
    }


def _window(window: Window) -> Json:
    return {
        "seconds": window.seconds,
        "requests": window.requests,
        "rate": window.rate,
        "statuses": dict(window.statuses),
        "errors": [
            {
                "error": code,
                "count": count,
                "fault": known.fault,
                "message": known.message,
                "hint": known.hint,
                "detail": window.details.get(code, ""),
            }
            for code, count in sorted(window.errors.items(), key=lambda item: -item[1])
            for known in [edge_error(code)]
        ],
        "latency_ms": {
            part: {f"p{quantile}": value for quantile, value in found.items()} for part, found in window.latency.items()
        },
    }
