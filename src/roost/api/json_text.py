"""Values as JSON text: fast, and whatever text a value holds.

State: the text of the configurations that were shown lately, which most listings show again and again. It is found by
identity: the store gives equal rows the same configuration, and a configuration never changes.
"""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from typing import Any

import orjson

from roost.model.machine_config import MachineConfig, machine_config_to_json

CONFIGS_REMEMBERED = 8192


class Encoded:
    """JSON that is text already, as a part of a value."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


def to_bytes(value: Any) -> bytes:
    """Return `value` as JSON; what UTF-8 has no form for (lone surrogates) is escaped."""
    try:
        return orjson.dumps(value, default=_fragment)
    except TypeError:  # a lone surrogate, an integer of more than 64 bits, or very deep
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_read_again).encode("ascii")


def _fragment(value: object) -> orjson.Fragment:
    if isinstance(value, Encoded):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _read_again(value: object) -> Any:
    if isinstance(value, Encoded):
        return json.loads(value.text)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class ConfigTexts:
    """Machines' configurations as JSON text. Used from several threads; two may encode the same one."""

    def __init__(self, remembered: int = CONFIGS_REMEMBERED) -> None:
        self._remembered = remembered
        self._known: OrderedDict[int, tuple[MachineConfig, Encoded]] = OrderedDict()

    def of(self, config: MachineConfig) -> Encoded:
        """Return a configuration's JSON, to be put into other JSON as it is."""
        known = self._known.get(id(config))
        if known is not None and known[0] is config:
            return known[1]
        made = Encoded(to_bytes(machine_config_to_json(config)))
        self._known[id(config)] = (config, made)  # which keeps it, so that no other has its identity meanwhile
        while len(self._known) > self._remembered:
            with contextlib.suppress(KeyError):  # another thread was faster
                self._known.popitem(last=False)
        return made
