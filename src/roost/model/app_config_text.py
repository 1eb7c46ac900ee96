"""From the text of a configuration file to plain values: TOML, JSON or YAML by the file's name. Pure."""

from __future__ import annotations

import json
import tomllib

from roost.model.errors import BadInput

_MOST_VALUES = 50_000  # with aliases followed: a short YAML text can stand for more than there is memory


def parse_config(text: str, name: str) -> object:
    """Return what the text says; raises BadInput, with the line where it can be told."""
    if name.endswith((".yaml", ".yml")):
        return _parse_yaml(text, name)
    try:
        return json.loads(text) if name.endswith(".json") else tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{name} is not valid TOML: {error}", hint="correct the line") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} is not valid JSON: {error}", hint="correct the line") from None


def _parse_yaml(text: str, name: str) -> object:
    import yaml  # a tenth of a second, and most files are TOML

    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{name} is not valid YAML: {error}", hint="correct the line") from None
    left = _MOST_VALUES
    below = [data]
    while below:
        value = below.pop()
        left -= 1
        if left < 0:
            raise BadInput(f"{name} holds more than {_MOST_VALUES} values", hint="keep only the configuration in it")
        if isinstance(value, dict):
            below.extend(value.values())
        elif isinstance(value, list):
            below.extend(value)
    return data
