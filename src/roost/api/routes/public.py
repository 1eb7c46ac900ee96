"""What needs no token: whether roostd answers, and what this server is. No data."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

router = APIRouter()

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Roost</title>
<style>body{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem;color:#222}
code{background:#f2f2f2;padding:.1em .3em;border-radius:3px}</style>
<h1>Roost</h1>
<p>A developer cloud on this server. This is its API; use it with the <code>roost</code> command,
or with any client of the Fly Machines API.</p>
<ul>
<li><a href="/v1/openapi.json">The API as an OpenAPI document</a></li>
<li><a href="/healthz">Health</a></li>
</ul>
<p>Calls below <code>/v1</code> need a token: <code>Authorization: Bearer TOKEN</code>.
The guide is in <code>docs/</code> of the source; <code>docs/api.md</code> lists the calls.</p>
</html>
"""


@router.get("/healthz", tags=["public"])
async def healthz() -> dict[str, Any]:
    """Tell that roostd answers. It asks nothing of the rest of the cloud."""
    return {"ok": True}


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def root() -> HTMLResponse:
    """Say what this is."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"})
