"""The pages that tell why a request was not served: HTML for people, JSON or plain text for programs.

Pure. Self-contained (no script, no outside resource); everything that comes from elsewhere is escaped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from http import HTTPStatus

from roost.model.edge_errors import blame

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 1.5rem;color:#1c2430;"
    "background:#fbfaf7}h1{font-size:1.35rem;margin:0 0 .75rem}p{margin:.5rem 0}small{color:#6b7280}"
    "@media(prefers-color-scheme:dark){body{color:#e6e6e3;background:#16181d}}"
)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says. `fault` is app, cloud, client or none; `code` a machine-readable class."""

    status: int
    fault: str
    code: str
    message: str
    hint: str = ""


def reason(status: int) -> str:
    """Return the standard phrase of an HTTP status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def html_page(page: Page) -> str:
    """Return a small page for a browser."""
    title = f"{page.status} {reason(page.status)}"
    lines = [page.hint, blame(page.fault)]
    body = "".join(f"<p>{escape(line)}</p>" for line in lines if line)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(page.message)}</h1>{body}"
        f"<p><small>{escape(title)} &middot; {escape(page.code)}</small></p></html>\n"
    )


def json_page(page: Page) -> str:
    """Return the API's error shape, with whose fault it is."""
    return json.dumps({"error": page.message, "status": page.code, "hint": page.hint, "fault": page.fault}) + "\n"


def text_page(page: Page) -> str:
    """Return a few lines of plain text."""
    lines = [f"{page.status} {reason(page.status)}: {page.message}", page.hint, blame(page.fault), page.code]
    return "\n".join(line for line in lines if line) + "\n"


def negotiate(page: Page, accept: str) -> tuple[str, bytes]:
    """Return content type and body in the form that the client's `Accept` header asks for."""
    if "text/html" in accept.lower():
        return "text/html; charset=utf-8", html_page(page).encode()
    if "json" in accept.lower():
        return "application/json", json_page(page).encode()
    return "text/plain; charset=utf-8", text_page(page).encode()
