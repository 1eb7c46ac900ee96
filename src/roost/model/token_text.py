"""Tokens as text: how a macaroon is spelled as a token, read, and weakened without asking the cloud. Pure.

`roost_m2_` and the macaroon in base64; what follows the prefix is what macaroon libraries read. Older tokens
(`roost_ID_SECRET`) are no macaroons and can't be weakened.
"""

from __future__ import annotations

from collections.abc import Sequence

from roost.model.conditions import read_conditions
from roost.model.errors import BadInput
from roost.model.identity import Action
from roost.model.macaroon import MOST_CAVEATS, BadMacaroon, Macaroon, attenuated, decode, encode

PREFIX = "roost_m2_"
KEYS_LIFETIME = 3600.0  # seconds that a token for the use of secret keys counts


def spell(macaroon: Macaroon) -> str:
    """Return a macaroon as a token."""
    return PREFIX + encode(macaroon)


def read(token: str) -> Macaroon:
    """Return the macaroon that a token is; raises BadInput that repeats nothing of it."""
    if not token.startswith(PREFIX):
        raise BadInput(
            "this token is not one that can be weakened",
            hint="make one that is: roost tokens create NAME --org ORG",
        )
    try:
        return decode(token.removeprefix(PREFIX))
    except BadMacaroon as error:
        raise BadInput(f"the token can't be read: {error}", hint="copy it again, as a whole") from None


def conditions_of(macaroon: Macaroon) -> list[str]:
    """Return its conditions as text; those of third parties are not among them."""
    return [c.identifier.decode("utf-8", "replace") for c in macaroon.caveats if not c.verification]


def weakened(token: str, conditions: Sequence[str]) -> str:
    """Return the token with more conditions; raises BadInput for one that Roost would not know."""
    read_conditions(conditions)
    macaroon = read(token)
    if not conditions:
        raise BadInput("no condition is given", hint="for example app = shop")
    if len(macaroon.caveats) + len(conditions) > MOST_CAVEATS:
        raise BadInput(f"the token would have more than {MOST_CAVEATS} conditions")
    for condition in conditions:
        macaroon = attenuated(macaroon, condition.encode())
    return spell(macaroon)


def for_keys(token: str, now: float) -> str:
    """Return the token good for nothing but the use of secret keys, for an hour; raises as `weakened` does."""
    return weakened(token, [f"action = {Action.KEYS}", f"time < {int(now + KEYS_LIFETIME)}"])
