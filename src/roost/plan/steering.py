"""Which machine takes a request that says where it wants to go: by replay, header or session. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from roost.model.machine import Machine, MachineState
from roost.model.steering import Wish
from roost.plan.wake import Refuse, Rouse, whom_to_wake

# The aliases of the reference (section 3) for the codes of its regions; a host's region may have any other code.
_US = frozenset({"atl", "bos", "den", "dfw", "ewr", "iad", "lax", "mia", "ord", "phx", "sea", "sjc"})
_ALIASES = {
    "us": _US,
    "na": _US | {"gdl", "qro", "yul", "yyz"},
    "sa": frozenset({"bog", "eze", "gig", "gru", "scl"}),
    "eu": frozenset({"ams", "arn", "cdg", "fra", "lhr", "mad", "otp", "waw"}),
    "apac": frozenset({"bom", "hkg", "nrt", "sin", "syd"}),
}


def in_regions(region: str, wanted: Sequence[str]) -> bool:
    """Return whether a region is one of those wanted, by code or alias; no wish is fulfilled by all."""
    return not wanted or any(word in ("any", region) or region in _ALIASES.get(word, ()) for word in wanted)


def whom_to_steer_to(
    app: str,
    machines: Sequence[Machine],
    wish: Wish,
    *,
    release_failure: str,
    now: float,
    turn: int,
    failing: Collection[str] = (),
) -> Rouse | Refuse:
    """Choose the machine that fulfils the wish and answers soonest; `failing` ones (ids) come last.

    `turn` spreads requests over equals.
    """
    if wish.instance:
        named = [machine for machine in machines if machine.id == wish.instance]
        if not named:
            return Refuse(
                404, "app", "machine_not_found", f"{app} has no machine {wish.instance}.",
                f"roost machine list -a {app}",
            )  # fmt: skip
        return whom_to_wake(app, named, release_failure=release_failure, now=now, failing=failing)
    fit = [m for m in machines if in_regions(m.region, wish.regions) and m.id != wish.not_on]
    if machines and not fit:
        where = f" in {', '.join(wish.regions)}" if wish.regions else ""
        other = f" other than {wish.not_on}" if wish.not_on else ""
        return Refuse(
            503, "app", "no_candidate", f"{app} has no machine{where}{other}.", f"roost machine list -a {app}"
        )
    preferred = [m for m in fit if m.id == wish.prefer and m.state is not MachineState.FAILED and not m.cordoned]
    awake = [m for m in fit if m.state is MachineState.STARTED and not m.cordoned and m.id not in failing]
    narrowed = preferred or ([awake[turn % len(awake)]] if awake else fit)
    return whom_to_wake(app, narrowed, release_failure=release_failure, now=now, failing=failing)
