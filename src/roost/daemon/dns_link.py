"""What the two processes of roost-dns say to each other: one asks for a name, the other reads the database.

A question is a line `[number, asker, name]`, its answer a line `[number, records]`; before the first question comes the
line of the one who asks that it is ready. State: the questions under way. Invariant: the side with the database takes a
line of a bounded length with a number and two strings, and nothing else. When a line is anything else, or the other
side ends, the conversation is over, and both sides end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from io import BufferedRWPair
from typing import Any

from roost.host.dns_server import Records

READY = b'"ready"\n'
LONGEST_QUESTION = 4096
LONGEST_ANSWER = 1 << 22
TIMEOUT = 5.0


class Questions:
    """The side that asks. `run` must be under way while `look_up` is used."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Records | None]] = {}

    async def look_up(self, asker: str, name: str) -> Records | None:
        """Return what a name has for the machine at the address `asker`; raises TimeoutError, or RuntimeError."""
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(json.dumps([number, asker, name]).encode() + b"\n")
            return await asyncio.wait_for(waiting, TIMEOUT)
        finally:
            del self._waiting[number]

    async def run(self) -> None:
        """Say that questions may come, and take answers until the other side ends."""
        self._writer.write(READY)
        while line := await self._reader.readline():
            number, answer = json.loads(line)
            waiting = self._waiting.get(number)
            if waiting is None or waiting.done():
                continue
            if answer == "failed":
                waiting.set_exception(RuntimeError("the name could not be looked up"))
            else:
                waiting.set_result(_records(answer))


def answer_all(connection: BufferedRWPair, look_up: Callable[[str, str], Records | None]) -> None:
    """Answer questions until the other side ends, or says what is no question (ValueError)."""
    while line := connection.readline(LONGEST_QUESTION):
        number, asker, name = _question(line)
        try:
            answer = _plain(look_up(asker, name))
        except Exception as error:
            print(f"looking a name up failed: {error!r}", flush=True)
            answer = "failed"
        connection.write(json.dumps([number, answer]).encode() + b"\n")
        connection.flush()


def _question(line: bytes) -> tuple[int, str, str]:
    match json.loads(line):
        case [int(number), str(asker), str(name)]:
            return number, asker, name
    raise ValueError("not a question")


def _plain(records: Records | None) -> Any:
    return records and [records.ipv4, records.ipv6, records.text]


def _records(answer: Any) -> Records | None:
    return Records(tuple(answer[0]), tuple(answer[1]), answer[2]) if answer is not None else None
