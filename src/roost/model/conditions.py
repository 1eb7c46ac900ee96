"""Conditions that a token can be weakened by (macaroon caveats): what they say, and what they leave. Pure.

Each is one line of text: `org = SLUG`, `app = NAME`, `app_id = ID`, `action = WORD` (these may name several, separated
by commas), `machine = ID`, `time < UNIX-TIME`, `ip = ADDRESS/BITS`. A token may do what all of them allow; one that
Roost does not know allows nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from roost.model.errors import BadInput
from roost.model.identity import Action, with_parts

ACTIONS = tuple(Action)
CONDITIONS = (
    f"org = SLUG, app = NAME, app_id = ID, machine = ID, action = {'|'.join(ACTIONS)}, "
    "time < UNIX-TIME, ip = ADDRESS/BITS"
)
LONGEST = 500  # characters of one condition


@dataclass(frozen=True, slots=True)
class Limits:
    """What conditions leave of a token. None: no limit."""

    orgs: frozenset[str] | None = None
    apps: frozenset[str] | None = None
    machine: str = ""  # "": no limit
    actions: frozenset[str] | None = None
    expires_at: float | None = None
    app_ids: frozenset[str] | None = None
    networks: tuple[str, ...] = ()  # of addresses that it may be used from; all of them must hold the address


def read_conditions(conditions: Sequence[str]) -> Limits:
    """Return what all of them together leave; raises BadInput for one that is not known (then nothing is left)."""
    sets: dict[str, frozenset[str] | None] = {"org": None, "app": None, "app_id": None, "machine": None, "action": None}
    expires: float | None = None
    networks: list[str] = []
    for condition in conditions:
        key, operator, value = _parts(condition)
        if operator == "<":
            at = _time(value)
            expires = at if expires is None else min(expires, at)
        elif key == "ip":
            networks.append(_network(value))
        else:
            allowed, before = _words(key, value), sets[key]
            sets[key] = allowed if before is None else before & allowed
    machine, actions = sets["machine"], sets["action"]
    if machine == frozenset():
        actions = frozenset()  # two machines at once: none is left, so nothing may be done
    return Limits(sets["org"], sets["app"], "".join(machine or ()), actions, expires, sets["app_id"], tuple(networks))


def _parts(condition: str) -> tuple[str, str, str]:
    words = condition.split(" ", 2) if len(condition) <= LONGEST else []
    if len(words) == 3 and (words[1] == "=" and words[0] in ("org", "app", "app_id", "machine", "action", "ip")):
        return words[0], words[1], words[2]
    if len(words) == 3 and words[:2] == ["time", "<"]:
        return words[0], words[1], words[2]
    raise BadInput(f"unknown condition {condition[:80]!r}", hint=CONDITIONS)


def _words(key: str, value: str) -> frozenset[str]:
    words = frozenset(word.strip() for word in value.split(",") if word.strip())
    if key == "machine" and len(words) > 1:
        raise BadInput("machine = names more than one machine", hint=CONDITIONS)
    if not words or (key == "action" and not words <= set(ACTIONS)):
        raise BadInput(f"{key} = {value[:80]!r} names nothing that there is", hint=CONDITIONS)
    return with_parts(words) if key == "action" else words


def _time(value: str) -> float:
    if not re.fullmatch(r"[0-9]{1,12}", value):
        raise BadInput(f"time < {value[:40]!r} is no Unix time in seconds", hint=CONDITIONS)
    return float(value)


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value.strip(), strict=False))
    except ValueError:
        raise BadInput(f"ip = {value[:60]!r} is no address or network", hint="for example ip = 192.0.2.0/24") from None
