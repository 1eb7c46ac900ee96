"""Reading paths and queries: names, ids, lists, times. Pure, apart from being told the time.

What can't be the name of anything is refused here, so that control and the host never see it.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Path

from roost.model.config_reading import parse_duration
from roost.model.errors import BadInput, NotFound
from roost.model.machine import MachineState
from roost.model.names import check_app_name, check_machine_id, check_secret_name
from roost.model.volume import VolumeState, check_volume_id

_OPERATION_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_SOURCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LONGEST_WAIT = 60.0  # seconds (reference, section 1.3)
SETTLED = frozenset({"created", "started", "stopped", "suspended", "failed", "destroyed"})


def _like(pattern: str) -> Any:
    """Publish a path parameter's form; the check itself is made below, with an error that helps."""
    return Path(json_schema_extra={"pattern": pattern})


def _app(app: Annotated[str, _like(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]) -> str:
    return check_app_name(app)


def _machine(machine_id: Annotated[str, _like(r"^[0-9a-f]{14}$")]) -> str:
    return check_machine_id(machine_id)


def _secret(name: Annotated[str, _like(r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")]) -> str:
    return check_secret_name(name)


def _operation(operation_id: Annotated[str, _like(f"^{_OPERATION_ID.pattern}$")]) -> str:
    if not _OPERATION_ID.fullmatch(operation_id):
        raise NotFound("operation not found", hint="`roost operations list` shows them")
    return operation_id


def _source(source_id: Annotated[str, _like(f"^{_SOURCE_ID.pattern}$")]) -> str:
    return check_source_id(source_id)


def check_source_id(source_id: str) -> str:
    """Return `source_id` if it can be one (it becomes part of a path), else raise NotFound."""
    if not _SOURCE_ID.fullmatch(source_id):
        raise NotFound("source not found", hint="upload it again: POST /v1/sources")
    return source_id


def _volume(volume_id: Annotated[str, _like(r"^vol_[a-z0-9]{16}$")]) -> str:
    return check_volume_id(volume_id)


AppName = Annotated[str, Depends(_app)]
MachineId = Annotated[str, Depends(_machine)]
VolumeId = Annotated[str, Depends(_volume)]
SecretName = Annotated[str, Depends(_secret)]
OperationId = Annotated[str, Depends(_operation)]
SourceId = Annotated[str, Depends(_source)]


def states(given: list[str]) -> frozenset[str]:
    """Return the machine states named by a repeated or comma-separated parameter; `settled` stands for six."""
    names = {word.strip() for item in given for word in item.split(",") if word.strip()}
    if "settled" in names:
        names = (names - {"settled"}) | SETTLED
    unknown = sorted(names - {str(state) for state in MachineState})
    if unknown:
        raise BadInput(
            f"state: {unknown[0][:40]!r} is not a machine's state", hint=f"use one of {', '.join(MachineState)}"
        )
    return frozenset(names)


def volume_states(given: list[str]) -> frozenset[str]:
    """Return the volume states named by a repeated or comma-separated parameter."""
    names = frozenset(word.strip() for item in given for word in item.split(",") if word.strip())
    if unknown := sorted(names - {str(state) for state in VolumeState}):
        raise BadInput(
            f"state: {unknown[0][:40]!r} is not a volume's state", hint=f"use one of {', '.join(VolumeState)}"
        )
    return names


def seconds(value: object, where: str, *, default: float, low: float, high: float) -> float:
    """Return a duration within bounds; text that is only digits counts seconds. Raises BadInput."""
    if value is None or value == "":
        return default
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        value = float(value)
    found = parse_duration(value, where)
    if not low <= found <= high:
        raise BadInput(f"{where} must be from {low:g} to {high:g} seconds")
    return found


def wait_timeout(text: str) -> float:
    """Return how long to wait, in seconds: 60 unless told, and never less than 1 or more than 60."""
    return min(max(seconds(text, "timeout", default=LONGEST_WAIT, low=0.0, high=float("inf")), 1.0), LONGEST_WAIT)


def run_id(text: str) -> str:
    """Return the run that a cursor stands for, or "" for none; raises BadInput."""
    if text and not _OPERATION_ID.fullmatch(text):
        raise BadInput("cursor is none that a listing gave", hint="send next_cursor as it came")
    return text


def event_id(text: str) -> str:
    """Return an event's id, or "" for none; raises BadInput."""
    if text and not _OPERATION_ID.fullmatch(text):
        raise BadInput("from_event_id is not an event's id", hint="send the event_id that an earlier wait answered")
    return text


def cursor_of(position: tuple[float, str]) -> str:
    """Spell a place in a listing; clients pass it on and look into it never."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def position_of(cursor: str) -> tuple[float, str]:
    """Return the place that a cursor stands for; raises BadInput."""
    try:
        at, key = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, TypeError, RecursionError):
        at = key = None
    if isinstance(at, float) and 0 <= at < 1e12 and isinstance(key, str) and len(key) <= 64:
        return at, key
    raise BadInput("cursor is none that a listing gave", hint="send next_cursor as it came")


def moment(text: str, now: float) -> float:
    """Return a Unix time from a Unix time, an RFC 3339 time, or a duration before `now`; "" gives 0."""
    if not text:
        return 0.0
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            return max(0.0, now - parse_duration(text, "since"))
        except BadInput:
            raise BadInput(
                f"since: {text[:40]!r} is not a time", hint="send Unix seconds, an RFC 3339 time, or how long ago: 10m"
            ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
