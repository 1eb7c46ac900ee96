"""Reads one table of `roost.toml` key by key, with errors that name the key and, in TOML, its line.

A wrong type is an error (BadInput). A key nobody reads is a warning: it says whether the key is
misspelt, or why it has no effect. Pure; the warnings go to the list of the `Origin`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from roost.model.app_config_keys import LATER, nearest
from roost.model.config_reading import duration_text, parse_duration
from roost.model.errors import BadInput

_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"""\s*["']?([A-Za-z0-9_.-]+)["']?\s*=""")
_INDEX = re.compile(r"\[(\d+)\]")


@dataclass(slots=True)
class Origin:
    """Where a configuration was read from, and what its writer should be told."""

    name: str
    text: str = ""
    warnings: list[str] = field(default_factory=list)

    def line(self, path: str) -> int:
        """Return the line that sets `path` ("services[1].internal_port"), or 0 when that can't be told."""
        wanted = _INDEX.sub("", path)
        section, lines = "", []
        for number, line in enumerate(self.text.splitlines(), start=1):
            if header := _HEADER.match(line):
                section = header[1].replace(" ", "").replace('"', "")
                if section == wanted:
                    lines.append(number)
            elif (key := _KEY.match(line)) and ".".join(filter(None, (section, key[1]))) == wanted:
                lines.append(number)
        if len(lines) == 1:
            return lines[0]
        indexes = [int(index) for index in _INDEX.findall(path)]
        return lines[indexes[-1]] if indexes and indexes[-1] < len(lines) else 0

    def at(self, path: str) -> str:
        """Spell a place in the file for a message."""
        line = self.line(path)
        return f"{self.name}, line {line}: {path}" if line else f"{self.name}: {path}"

    def refuse(self, path: str, why: str, hint: str = "") -> BadInput:
        """Make the error for a value that can't be used."""
        return BadInput(f"{self.at(path)} {why}", hint=hint)

    def warn(self, path: str, what: str) -> None:
        """Note something that the writer should know and that does not stop anything."""
        self.warnings.append(f"{self.at(path)} {what}")


class Table:
    """One table; `kind` says which keys it may have. Call `done` when everything was taken."""

    def __init__(self, data: object, path: str, kind: str, origin: Origin) -> None:
        if not isinstance(data, Mapping):
            raise origin.refuse(path or "the file", "must be a table of keys")
        self._left = {str(key): value for key, value in data.items()}
        self._path, self._kind, self.origin = path, kind, origin

    def path(self, key: str) -> str:
        """Return the full path of a key."""
        return f"{self._path}.{key}" if self._path else key

    def refuse(self, key: str, why: str, hint: str = "") -> BadInput:
        """Make the error for the value of `key`."""
        return self.origin.refuse(self.path(key), why, hint)

    def has(self, key: str) -> bool:
        """Say whether a key is there, and was not taken yet."""
        return bool(self._left.get(key))

    def holds(self, key: str) -> bool:
        """Say whether a key is there, be it blank, and was not taken yet."""
        return key in self._left

    def put_back(self, key: str, value: Any) -> None:
        """Let a value that was taken be taken again; None is nothing."""
        if value is not None:
            self._left[key] = value

    def take(self, key: str) -> Any:
        """Return the raw value, or None."""
        return self._left.pop(key, None)

    def text(self, key: str, default: str = "", *, among: tuple[str, ...] = ()) -> str:
        """Return a string, one of `among` when given."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, str) or "\0" in value:
            raise self.refuse(key, f"must be a string, not {_kind_of(value)}")
        if among and value not in among:
            raise self.refuse(key, f"must be one of {', '.join(among)}, not {value[:40]!r}")
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number within the bounds."""
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.refuse(key, f"must be a whole number from {low} to {high}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refuse(key, "must be true or false")
        return value

    def duration(self, key: str, default: float) -> float:
        """Return seconds from "1m30s" or a number of seconds."""
        value = self.take(key)
        return default if value is None else parse_duration(value, self.origin.at(self.path(key)))

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; a single string is a list of one."""
        value = self.take(key)
        if value is None:
            return ()
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(item, str) and "\0" not in item for item in value):
            raise self.refuse(key, "must be a list of strings")
        return tuple(value)

    def strings(self, key: str) -> dict[str, str]:
        """Return a table of strings; numbers and booleans are spelt as TOML spells them."""
        value = self.take(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.refuse(key, "must be a table of strings")
        out: dict[str, str] = {}
        for name, item in value.items():
            if isinstance(item, bool):
                item = "true" if item else "false"
            if not isinstance(item, str | int | float) or not name or "\0" in f"{name}{item}":
                raise self.refuse(f"{key}.{name}", f"must be a string, not {_kind_of(item)}")
            out[str(name)] = str(item)
        return out

    def table(self, key: str, kind: str) -> Table:
        """Return a table below this one; a missing one is empty."""
        value = self.take(key)
        return Table({} if value is None else value, self.path(key), kind, self.origin)

    def tables(self, key: str, kind: str) -> list[Table]:
        """Return an array of tables; a single table is an array of one."""
        value = self.take(key)
        if value is None:
            return []
        if isinstance(value, Mapping):
            return [Table(value, self.path(key), kind, self.origin)]
        if not isinstance(value, list):
            raise self.refuse(key, "must be an array of tables")
        return [Table(item, f"{self.path(key)}[{index}]", kind, self.origin) for index, item in enumerate(value)]

    def done(self) -> None:
        """Warn about every key that nobody took."""
        for key in self._left:
            if why := LATER[self._kind].get(key):
                self.origin.warn(self.path(key), f"has no effect: {why}")
                continue
            meant = nearest(self._kind, key)
            self.origin.warn(self.path(key), "is not a known key" + (f": did you mean {meant}?" if meant else ""))


def spell_seconds(value: float) -> str:
    """Spell a duration: whole minutes as minutes, else seconds."""
    return f"{value / 60:.0f}m" if value and value % 60 == 0 else duration_text(value)


def _kind_of(value: object) -> str:
    """Name a value's type in TOML's words."""
    names = {bool: "a boolean", int: "a number", float: "a number", list: "an array", str: "a string"}
    return names.get(type(value), "a table" if isinstance(value, Mapping) else type(value).__name__)
