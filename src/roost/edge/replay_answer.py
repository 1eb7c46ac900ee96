"""A machine's answer as far as the replay server reads it: whether it asks for a replay, and the body that says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from roost.edge.http_head import Fields
from roost.model.errors import BadInput
from roost.model.replay_order import JSON_TYPE, MAX_ORDER

BODY_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer, and the connection on which its body comes."""

    fields: Fields
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def asks_for_replay(fields: Fields) -> bool:
    """Return whether an answer is none, but the wish to have the request replayed."""
    if fields.has("fly-replay") or fields.has("roost-replay"):
        return True
    return fields.get("content-type").lower().startswith(JSON_TYPE)


async def read_body(answer: Answer) -> bytes | None:
    """Read the order in an answer's body, None when the head holds it. Raises BadInput when it is not all there."""
    fields = answer.fields
    if fields.has("fly-replay") or fields.has("roost-replay"):
        return None
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            if "chunked" in fields.get("transfer-encoding").lower():
                return await _chunks(answer.reader)
            length = fields.get("content-length")
            if length.isascii() and length.isdigit() and len(length) < 10:
                return await answer.reader.readexactly(min(int(length), MAX_ORDER + 1))
            return await _all(answer.reader)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError, OSError):
        raise BadInput("the replay's body did not come in full") from None


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) <= MAX_ORDER:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0].strip(), 16)
        if size <= 0:
            break
        body += await reader.readexactly(min(size, MAX_ORDER + 1))
        if len(body) <= MAX_ORDER:
            await reader.readexactly(2)
    return body


async def _all(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) <= MAX_ORDER and (data := await reader.read(MAX_ORDER)):
        body += data
    return body
