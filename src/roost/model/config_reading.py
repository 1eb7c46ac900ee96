"""Reading a JSON object of a configuration: every key is read or refused by name. Durations are seconds."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from roost.model.errors import BadInput

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(ns|us|µs|μs|ms|s|m|h)")  # e: as rows had it once
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
RESERVED_PATHS = ("/", "/proc", "/sys", "/dev", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/usr")
_T = TypeVar("_T")
_LONGEST = 86_400 * 366  # seconds


def parse_duration(value: object, where: str) -> float:
    """Return seconds from a Go duration ("1m30s") or a number of seconds; raises BadInput naming `where`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadInput(f"{where} must be a duration like '10s'")
    if isinstance(value, int | float):
        if not 0 <= value <= _LONGEST:
            raise BadInput(f"{where} must be between 0 and a year")
        return float(value)
    parts = _DURATION_PART.findall(value)
    if not parts or "".join(n + u for n, u in parts) != value:
        raise BadInput(f"{where} must be a duration like '10s', not {value[:40]!r}")
    found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if found > _LONGEST:
        raise BadInput(f"{where} must be between 0 and a year")
    return found


def duration_text(seconds: float) -> str:
    """Return seconds as a Go duration that `parse_duration`, and Go, read as the same."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


class Reader:
    """Reads one JSON object key by key, with errors that name the key, and refuses what is left over."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, Mapping):
            raise BadInput(f"{where} must be an object, not {type(data).__name__}")
        self._left = dict(data)
        self._where = where

    def path(self, key: str) -> str:
        """Return the name of a key for an error."""
        return f"{self._where}.{key}"

    def take(self, key: str) -> Any:
        """Return a value as it is, or None."""
        return self._left.pop(key, None)

    def text(self, key: str, default: str = "", *, among: tuple[str, ...] | None = None) -> str:
        """Return a string, one of `among` where given."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, str) or "\0" in value:
            raise BadInput(f"{self.path(key)} must be a string")
        if among is not None and value not in among:
            raise BadInput(f"{self.path(key)} must be one of {', '.join(among)}, not {value[:40]!r}")
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number within bounds."""
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadInput(f"{self.path(key)} must be a whole number from {low} to {high}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise BadInput(f"{self.path(key)} must be true or false")
        return value

    def duration(self, key: str, default: float) -> float:
        """Return seconds."""
        value = self.take(key)
        return default if value is None else parse_duration(value, self.path(key))

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(v, str) and "\0" not in v for v in value):
            raise BadInput(f"{self.path(key)} must be a list of strings")
        return tuple(value)

    def strings(self, key: str) -> dict[str, str]:
        """Return an object of strings."""
        value = self.take(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping) or not all(
            isinstance(k, str) and isinstance(v, str) and k and "\0" not in k + v for k, v in value.items()
        ):
            raise BadInput(f"{self.path(key)} must be an object of strings")
        return dict(value)

    def items(self, key: str, read: Callable[[object, str], _T]) -> tuple[_T, ...]:
        """Return a list whose items `read` reads, each told its place."""
        value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise BadInput(f"{self.path(key)} must be a list")
        return tuple(read(item, f"{self.path(key)}[{index}]") for index, item in enumerate(value))

    def done(self, *, tolerated: tuple[str, ...] = ()) -> None:
        """Refuse what was not taken."""
        left = [
            key
            for key, value in self._left.items()
            if key not in tolerated and value not in (None, "", [], {}, False, 0)
        ]
        if left:
            raise BadInput(
                f"{self.path(left[0])} is not supported"
                + (f" (nor {', '.join(sorted(left)[1:])})" if len(left) > 1 else ""),
                hint="remove the key; docs/machines.md lists the keys that work",
            )


def read_headers(value: object, where: str) -> tuple[tuple[str, str], ...]:
    """Headers come as {name: value}, {name: [values]} or [{name, values}] (clients differ)."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        value = [{"name": k, "values": v if isinstance(v, list) else [v]} for k, v in value.items()]
    pairs: list[tuple[str, str]] = []
    if not isinstance(value, list):
        raise BadInput(f"{where} must be a list of {{name, values}}")
    for item in value:
        reader = Reader(item, where)
        name = reader.text("name")
        values = reader.words("values")
        reader.done()
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or any(c in v for v in values for c in "\r\n"):
            raise BadInput(f"{where} holds a header that HTTP does not allow: {name[:40]!r}")
        pairs.extend((name, v) for v in values)
    return tuple(pairs)


def read_signal(value: object, where: str) -> str:
    """Return a signal's name from a name or a number (`flyctl machine kill` sends 9); "" for none."""
    if value in (None, ""):
        return ""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 2:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return signal.Signals(value).name
        except ValueError:
            raise BadInput(f"{where}: {value} is not a signal's number") from None
    if isinstance(value, str):
        name = value.upper() if value.upper().startswith("SIG") else f"SIG{value.upper()}"
        if name in signal.Signals.__members__:
            return name
    raise BadInput(f"{where} must be a signal like SIGTERM")


def check_mount_path(path: str, where: str) -> str:
    """Return `path`, without a slash at its end, if a volume can be mounted there; raises BadInput naming `where`."""
    path = path.removesuffix("/") or path
    parts = path.split("/")
    plain = all(char.isprintable() for char in path) and "" not in parts[1:] and not {".", ".."} & set(parts)
    if not path.startswith("/") or not plain or len(path) > 4000:
        raise BadInput(f"{where} must be an absolute path without '.', '..' or blank parts, not {path[:40]!r}")
    if path.startswith(("/proc/", "/sys/", "/dev/")) or path in RESERVED_PATHS:
        raise BadInput(f"{where}: nothing can be mounted at {path[:40]!r}", hint="use a directory like /data")
    return path
