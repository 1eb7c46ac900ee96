"""How requests and their percentiles look on the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from roost.cli import context, output
from roost.model.edge_errors import EDGE_ERRORS

_PARTS = ("queue", "wake", "connect", "app", "total")
_NAMES = {60: "1 min", 300: "5 min", 3600: "1 h"}


def show(app: str, wanted: Mapping[str, Any], *, limit: int, follow: bool, as_json: bool) -> None:
    """Print an app's requests, a line each."""
    with context.client() as client:
        read, line = client.requests.follow if follow else client.requests.read, None
        for line in read(app, **wanted, limit=limit):
            output.say(json.dumps(line) if as_json else render(line))
    if line is None and not follow:
        output.note("There are no such requests." if any(wanted.values()) else f"{app} had no requests yet.")


def render(line: Mapping[str, Any]) -> str:
    """Return a request as text: when, what, how it was answered, by which machine, what took how long. Pure."""
    latency: Mapping[str, float] = line.get("latency_ms") or {}
    parts = " ".join(f"{part} {_ms(latency[part])}" for part in _PARTS[:-1] if latency.get(part, 0) >= 0.05)
    pieces = [
        line.get("timestamp", ""),
        line.get("status") or "---",
        line.get("method", ""),
        f"{line.get('host', '')}{line.get('path', '')}",
        f"{_ms(latency.get('total', 0.0))} ms" + (f" ({parts})" if parts else ""),
        f"{line.get('bytes_out', 0)} B",
        line.get("client", ""),
        line.get("machine") or "-",
        line.get("id", ""),
    ]
    text = " ".join(output.printable(str(piece)) for piece in pieces if piece != "")
    if (alike := int(line.get("alike") or 1)) > 1:
        text += f" (and {alike - 1} like it)"
    if code := str(line.get("error") or ""):
        text += f"\n    {output.printable(str(line.get('fault')))}: {output.printable(code)}"
        if (known := EDGE_ERRORS.get(code)) is not None:
            text += f": {known.message} {known.hint}".rstrip()
        if detail := str(line.get("detail") or ""):
            text += f"\n    {output.printable(detail)}"
    return text


def summary_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Return an app's traffic as lines: rates and percentiles of each window, then what went wrong. Pure."""
    for machine in summary.get("left_out", ()):
        yield f"machine {machine} gets no requests for a while: it failed several in a row (5xx, or broken connections)"
    windows = [window for window in summary.get("windows", ()) if window.get("requests")]
    if not windows:
        return
    rows = []
    for window in windows:
        errors = sum(int(error["count"]) for error in window["errors"])
        total, app = window["latency_ms"].get("total", {}), window["latency_ms"].get("app", {})
        rows.append((
            _NAMES.get(window["seconds"], str(window["seconds"])), str(window["requests"]), f"{window['rate']:.3g}/s",
            str(errors), *(_ms(total.get(p, 0.0)) for p in ("p50", "p90", "p99")), _ms(app.get("p99", 0.0)),
        ))  # fmt: skip
    yield output.table(("last", "requests", "rate", "errors", "p50 ms", "p90 ms", "p99 ms", "app p99"), rows)
    for error in windows[min(1, len(windows) - 1)]["errors"]:
        if error["error"] != "client_gone":
            whose = {"app": "the app", "cloud": "the cloud", "client": "who called"}.get(str(error["fault"]), "nobody")
            yield f"{error['count']} x {error['error']} (by {whose}): {error['message']} {error['hint']}".rstrip()
            if error.get("detail"):
                yield f"    the latest: {output.printable(str(error['detail']))}"


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
