"""How Go reads JSON into structs, strictly: what a client in Go could not decode fails here.

A struct is a dict from JSON keys to types. Keys match whatever their case; unknown keys are passed over; null leaves a
field as it is; a number with a fraction is no integer; a time is RFC 3339; a duration is text for time.ParseDuration
or a number of nanoseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

Type = Callable[[Any, str], Any]
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+")


class Undecodable(AssertionError):
    """What encoding/json would call an UnmarshalTypeError."""


def _refuse(value: Any, where: str, wanted: str) -> Undecodable:
    return Undecodable(f"json: cannot unmarshal {value!r} into Go struct field {where} of type {wanted}")


def string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _refuse(value, where, "string")
    return value


def boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _refuse(value, where, "bool")
    return value


def integer(bits: int, *, signed: bool = True) -> Type:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)

    def read(value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value < high:
            raise _refuse(value, where, f"{'' if signed else 'u'}int{bits}")
        return value

    return read


def time(value: Any, where: str) -> datetime:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise _refuse(value, where, "time.Time")
    return datetime.fromisoformat(value)


def duration(value: Any, where: str) -> Any:
    if isinstance(value, str) and (_DURATION.fullmatch(value) or value == "0"):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(value, where, "fly.Duration")
    return value


def autostop(value: Any, where: str) -> Any:
    if not isinstance(value, bool) and value not in ("off", "stop", "suspend"):
        raise _refuse(value, where, "MachineAutostop")
    return value


def anything(value: Any, where: str) -> Any:
    return value


def many(item: Type) -> Type:
    def read(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise _refuse(value, where, "slice")
        return [item(one, f"{where}[{number}]") for number, one in enumerate(value)]

    return read


def table(item: Type) -> Type:
    def read(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refuse(value, where, "map")
        return {key: item(one, f"{where}.{key}") for key, one in value.items()}

    return read


def struct(**fields: Type) -> Type:
    known = {name.lower(): name for name in fields}

    def read(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refuse(value, where, "struct")
        found: dict[str, Any] = {}
        for key, one in value.items():
            name = known.get(key.lower())
            if name is not None and one is not None:
                found[name] = fields[name](one, f"{where}.{key}")
        return found

    return read


int32, int64, uint32, uint64 = integer(32), integer(64), integer(32, signed=False), integer(64, signed=False)
