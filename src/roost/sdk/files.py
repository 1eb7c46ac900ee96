"""Files in machines, read and written over a terminal that passes bytes as they are.

The machine's image needs `sh`, `stty`, `cat`, `head` and `wc`, as every Debian, Alpine or busybox image has. State:
none. What is sent is written beside its place and moved there when all of it has come: a transfer that breaks off
leaves nothing at that path. Sizes of any height: nothing is held whole.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import Any

from roost.model.errors import BadInput, Unprocessable
from roost.sdk.console import Console, open_console
from roost.sdk.errors import Unreachable
from roost.sdk.group import Group, M, call, stream
from roost.sdk.transport import join
from roost.sdk.wire import Chunks

# A terminal in raw mode is a pipe for bytes. The first line tells how it goes: `+` and a number, or `-` and why not.
_RAW = "stty raw -echo || { echo '-the image has no stty'; exit 1; };"
_READ = (
    _RAW + ' if [ -d "$1" ]; then echo "-it is a directory"; exit 1; fi;'
    ' if said=$(head -c 0 -- "$1" 2>&1); then echo "+$(wc -c < "$1")"; exec cat -- "$1"; else echo "-$said"; exit 1; fi'
)
_WRITE = (
    _RAW + ' part="$1.roost-part.$$"; if said=$( { : > "$part"; } 2>&1 ); then echo +0; else echo "-$said"; exit 1; fi;'
    " trap 'rm -f -- \"$part\"' EXIT HUP TERM INT;"
    ' if said=$( { head -c "$2" > "$part"; } 2>&1 ) && [ "$(wc -c < "$part")" -eq "$2" ]'
    ' && said=$(mv -f -- "$part" "$1" 2>&1); then echo "+$2"; else echo "-it could not be written: $said"; exit 1; fi'
)
_RUN = _RAW + ' if said=$(command -v "$1"); then echo +0; exec "$@" 2>&1; else echo "-the image has no $1"; exit 1; fi'
_LONGEST_LINE = 4096


class Files(Group[M]):
    """`client.files`."""

    @stream
    async def read(self, app: str, machine_id: str, path: str) -> AsyncGenerator[bytes, None]:
        """Yield a file of a started machine piece by piece; raises Unprocessable when it can't be read.

        A file that grows meanwhile is read up to the size it had; Unreachable tells of one that broke off.
        """
        console = await self._open(app, machine_id, _READ, check_remote(path))
        try:
            async with aclosing(_After(console, f"{path} can't be read").body()) as pieces:
                left = await anext(pieces)
                async for piece in pieces:
                    if left <= 0:
                        break
                    yield piece[:left]
                    left -= len(piece)
            if left > 0:
                raise Unreachable(f"{path} broke off {left} bytes before its end")
        finally:
            await console._socket.close()

    @call
    async def write(self, app: str, machine_id: str, path: str, chunks: Chunks, *, size: int) -> None:
        """Write a file of a started machine, of `size` bytes; raises Unprocessable when it can't be written."""
        if size < 0:
            raise BadInput("size can't be less than 0")
        console = await self._open(app, machine_id, _WRITE, check_remote(path), str(size))
        try:
            async with aclosing(_After(console, f"{path} can't be written").body()) as said:
                await anext(said)
                sent = 0
                async for chunk in _each(chunks):
                    sent += len(chunk)
                    if sent > size:
                        break
                    await console._send(chunk)
                if sent != size:
                    raise BadInput(f"{path}: {sent} bytes came, not the {size} that were promised")
                answer = b"".join([piece async for piece in said])
            if not answer.startswith(b"+"):
                raise Unprocessable(f"{path} can't be written: {answer[1:].decode(errors='replace').strip()}")
        finally:
            await console._socket.close()

    @stream
    async def run(self, app: str, machine_id: str, command: list[str]) -> AsyncGenerator[bytes, None]:
        """Yield what a command in a started machine writes, errors among it, however much it is."""
        console = await self._open(app, machine_id, _RUN, *command)
        try:
            async with aclosing(_After(console, f"{command[0]} can't be run").body()) as pieces:
                await anext(pieces)
                async for piece in pieces:
                    yield piece
        finally:
            await console._socket.close()

    async def _open(self, app: str, machine_id: str, script: str, *words: str) -> Console[Any]:
        path = join("apps", app, "machines", machine_id, "console")
        return await open_console(self._http, path, ["/bin/sh", "-c", script, "sh", *words], rows=24, columns=80)


def check_remote(path: str) -> str:
    """Return a path in a machine; raises BadInput unless it is absolute and can be one."""
    if not path.startswith("/") or "\0" in path or len(path.encode(errors="replace")) > _LONGEST_LINE:
        raise BadInput(f"{path[:200]!r} is not an absolute path in the machine", hint="write it like /data/file")
    return path


class _After:
    """What a script writes after its first line, and the number in that line."""

    def __init__(self, console: Console[Any], what: str) -> None:
        self._console = console
        self._what = what

    async def body(self) -> AsyncGenerator[Any, None]:
        """Yield the number of the first line, then the pieces; raises Unprocessable when the line says `-`."""
        head, begun = b"", False
        async with aclosing(self._console._incoming()) as pieces:
            async for piece in pieces:
                if begun:
                    yield piece
                    continue
                head += piece
                line, newline, rest = head.partition(b"\n")
                if not newline:
                    if len(head) > _LONGEST_LINE:
                        raise Unprocessable(f"{self._what}: {head[:200]!r}")
                    continue
                yield self._number(line)
                begun = True
                if rest:
                    yield rest
        if not begun:
            raise Unprocessable(f"{self._what}: {head.decode(errors='replace').strip() or 'no answer'}")

    def _number(self, line: bytes) -> int:
        text = line.decode(errors="replace").strip()
        if not text.startswith("+") or not text[1:].strip().isdigit():
            raise Unprocessable(f"{self._what}: {text.lstrip('-') or 'no answer'}")
        return int(text[1:])


async def _each(chunks: Chunks) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of either kind of iterable."""
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
