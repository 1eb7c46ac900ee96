"""Names and ids: what is allowed, and how new ones are spelled.

Randomness is passed in, so that the same bytes give the same id.
"""

from __future__ import annotations

import re

from roost.model.errors import BadInput

APP_NAME_MAX = 63  # one DNS label (RFC 1035, section 2.3.4): the app's name is its host name's first label
_APP_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_MACHINE_ID = re.compile(r"[0-9a-f]{14}")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

RELEASE_GROUP, TEST_GROUP = "fly_app_release_command", "fly_app_test_machine_command"
RESERVED_GROUPS = frozenset({RELEASE_GROUP, TEST_GROUP, "fly_app_console"})  # machines that come and go


def check_app_name(name: str) -> str:
    """Return `name` if it can name an app, else raise BadInput that suggests one that can."""
    if _APP_NAME.fullmatch(name):
        return name
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    raise BadInput(
        f"{shown!r} can't be an app's name: use 1 to {APP_NAME_MAX} lower-case letters, digits and inner hyphens",
        hint=f"try {suggest_app_name(name)!r}",
    )


def suggest_app_name(text: str) -> str:
    """Return the legal app name nearest to `text`."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:APP_NAME_MAX].strip("-")
    return name or "app"


def check_secret_name(name: str) -> str:
    """Return `name` if it can be an environment variable's name, else raise BadInput."""
    if _SECRET_NAME.fullmatch(name):
        return name
    raise BadInput(
        f"{name[:80]!r} can't be a secret's name: it becomes an environment variable",
        hint="use letters, digits and underscores, not beginning with a digit",
    )


def check_machine_id(machine_id: str) -> str:
    """Return `machine_id` if it is 14 lower-case hex digits, else raise BadInput."""
    if _MACHINE_ID.fullmatch(machine_id):
        return machine_id
    raise BadInput(f"invalid machine ID, {machine_id[:80]!r}", hint="`roost machine list` shows the ids")


def machine_id(entropy: bytes) -> str:
    """Spell a machine id from 7 random bytes: 14 hex digits, as in the Fly Machines API."""
    if len(entropy) != 7:
        raise ValueError("a machine id takes 7 bytes")
    return entropy.hex()


def ulid(milliseconds: int, entropy: bytes) -> str:
    """Spell a ULID (26 characters; ULID spec) from a Unix time in milliseconds and 10 random bytes."""
    if len(entropy) != 10:
        raise ValueError("a ULID takes 10 random bytes")
    number = (milliseconds << 80) | int.from_bytes(entropy, "big")
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
