"""`KEY=VALUE` on the command line and in dotenv files. Pure, but for `read_values`, which reads files.

A value may be given where other users of the machine can't see it: `KEY=-` reads standard input,
`KEY=@FILE` a file, and (for build secrets) `KEY` alone the environment.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from roost.model.errors import BadInput

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def split_pair(word: str, what: str) -> tuple[str, str]:
    """Return key and value of `KEY=VALUE`; raises BadInput that doesn't repeat the value."""
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise BadInput(f"{what} must be written KEY=VALUE", hint=f"{key[:40] or 'NAME'}=...")
    return key, value


def read_values(
    words: Sequence[str], what: str, *, environment: Callable[[str], str | None] | None = None
) -> dict[str, str]:
    """Return the values that `words` name or hold; `environment` answers a `KEY` alone."""
    values: dict[str, str] = {}
    for word in words:
        if environment is not None and "=" not in word:
            found = environment(word)
            if not found:
                raise BadInput(
                    f"{what} {word[:40]!r} is not in the environment", hint=f"{word[:40]}=@FILE reads a file"
                )
            values[word] = found
            continue
        key, value = split_pair(word, what)
        values[key] = _fetch(key, value, what)
    return values


def _fetch(key: str, value: str, what: str) -> str:
    if value == "-":
        return sys.stdin.read().removesuffix("\n")
    if value.startswith("@"):
        try:
            return Path(value[1:]).read_text("utf-8").removesuffix("\n")
        except (OSError, ValueError) as error:
            raise BadInput(f"{what} {key}: {value[1:]} can't be read: {error}", hint="") from None
    return value


def parse_dotenv(text: str) -> dict[str, str]:
    """Read a dotenv file: `KEY=value`, `export KEY=value`, quotes, `#` comments, quoted values over several lines.

    Single quotes keep everything, double quotes know \\n, \\r, \\t, \\", \\\\ and \\$; nothing is expanded.
    Raises BadInput that names the line, never its value.
    """
    values: dict[str, str] = {}
    lines = text.removeprefix("\ufeff").splitlines()
    index = 0
    while index < len(lines):
        number, line = index + 1, lines[index]
        index += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadInput(f"line {number} is not KEY=value", hint="comments begin with #")
        key, rest = match[1], match[2]
        if rest[:1] in ("'", '"'):
            while (end := _closing(rest)) < 0:
                if index >= len(lines):
                    raise BadInput(f"line {number}: the quote of {key} is never closed")
                rest += "\n" + lines[index]
                index += 1
            if rest[end + 1 :].split("#")[0].strip():
                raise BadInput(f"line {number}: there is more after the quoted value of {key}")
            values[key] = _unquote(rest[: end + 1])
        else:
            values[key] = re.split(r"\s+#", rest, maxsplit=1)[0].strip() if not rest.startswith("#") else ""
    return values


def _closing(rest: str) -> int:
    """Return the position of the quote that closes the one at the beginning, or -1."""
    quote, position = rest[0], 1
    while position < len(rest):
        if rest[position] == "\\" and quote == '"':
            position += 1
        elif rest[position] == quote:
            return position
        position += 1
    return -1


def _unquote(quoted: str) -> str:
    inner = quoted[1:-1]
    if quoted[0] == "'":
        return inner
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), inner, flags=re.DOTALL)
