"""How the number of a group's machines follows its load: the policy, what was seen, and what came of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roost.model.app_config_table import Origin, Table, spell_seconds
from roost.model.errors import BadInput

MADE_KEY = "roost_autoscaled"  # metadata of the machines that autoscaling made
JOINING = "joining"  # its value until such a machine has become healthy, then MADE
MADE = "yes"
MOST = 1000  # machines of one group
MOST_SIGNALS = 8
AGGREGATES = ("sum", "avg", "max", "min")
REMOVES = ("made", "any")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")


@dataclass(frozen=True, slots=True)
class Signal:
    """A metric that the app tells: one machine for each `target` of its aggregate over the machines that tell it."""

    name: str
    target: float
    aggregate: str = "sum"
    of: str = ""  # process group whose machines are asked; "": the one that is scaled
    labels: tuple[tuple[str, str], ...] = ()  # only series that have these


@dataclass(frozen=True, slots=True)
class AutoscalePolicy:
    """How many machines a process group has. The number that the most demanding signal asks for counts."""

    max: int
    min: int = 1
    concurrency: int = 0  # requests at once per machine; 0: not a signal
    signals: tuple[Signal, ...] = ()
    up_after: float = 0.0  # seconds that more must have been asked for without a break
    down_after: float = 300.0  # likewise less
    up_step: int = 0  # machines more at once; 0: as many as are asked for
    down_step: int = 0
    drain_timeout: float = 900.0  # seconds that requests of a machine that goes may last
    remove: str = "made"  # made: only machines that autoscaling made; any: also those of deploys, without a volume


@dataclass(frozen=True, slots=True)
class GroupPolicy:
    """A policy and whose it is. `policy` None: switched off by hand, whatever the release says."""

    app: str
    group: str
    policy: AutoscalePolicy | None
    origin: str  # "deploy": from roost.toml; "api": set by hand, until a deploy whose roost.toml names the group


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry of the log: what was seen and decided, and what came of it."""

    id: str  # sorts by time
    app: str
    group: str
    at: float
    action: str  # up | down | limit | blind
    seen: Mapping[str, Any]
    machines: int  # there were
    wanted: int
    why: str
    state: str  # under_way | done | failed | interrupted | noted
    outcome: str = ""
    ended_at: float = 0.0


def read_policy(table: Table) -> AutoscalePolicy:
    """Read the keys of one `[[autoscale]]` but `processes`; raises BadInput that names the key."""
    if not table.holds("max"):
        raise table.refuse("max", "is missing: say how many machines there may be at most")
    policy = AutoscalePolicy(
        max=table.number("max", 0, 1, MOST),
        min=table.number("min", 1, 0, MOST),
        concurrency=table.number("concurrency", 0, 0, 1_000_000),
        signals=_read_signals(table),
        up_after=_duration(table, "up_after", 0.0),
        down_after=_duration(table, "down_after", 300.0),
        up_step=table.number("up_step", 0, 0, MOST),
        down_step=table.number("down_step", 0, 0, MOST),
        drain_timeout=_duration(table, "drain_timeout", 900.0),
        remove=table.text("remove", "made", among=REMOVES),
    )
    if policy.min > policy.max:
        raise table.refuse("min", f"is more than max, {policy.max}")
    if not policy.concurrency and not policy.signals:
        raise table.refuse(
            "concurrency", "is missing, and there is no [[autoscale.metrics]]: nothing says when more are needed",
            "concurrency = 20 is a machine for each 20 requests at once",
        )  # fmt: skip
    return policy


def _duration(table: Table, key: str, default: float) -> float:
    value = table.duration(key, default)
    if not 0 <= value <= 86_400:
        raise table.refuse(key, "must be from 0 s to 24 h")
    return value


def _read_signals(table: Table) -> tuple[Signal, ...]:
    found = []
    for inner in table.tables("metrics", "autoscale.metrics"):
        name, target = inner.text("name"), inner.take("target")
        if not _NAME.fullmatch(name):
            raise inner.refuse("name", "must be the name of a metric, like queue_depth")
        if isinstance(target, bool) or not isinstance(target, int | float) or not 0 < target <= 1e15:
            raise inner.refuse("target", "must be a number above 0: there is a machine for each so many")
        labels = inner.strings("labels")
        for label, value in labels.items():
            if not _LABEL.fullmatch(label) or len(value) > 1000:
                raise inner.refuse("labels", f"has {label[:40]!r}, which can't be a label of a metric")
        aggregate = inner.text("aggregate", "sum", among=AGGREGATES)
        found.append(Signal(name, float(target), aggregate, inner.text("of"), tuple(sorted(labels.items()))))
        inner.done()
    if len(found) > MOST_SIGNALS:
        raise table.refuse("metrics", f"has more than {MOST_SIGNALS} entries")
    return tuple(found)


def policy_of_json(data: object) -> AutoscalePolicy:
    """Read the JSON form, which has the keys of `[[autoscale]]`; raises BadInput, also for a key that is unknown."""
    origin = Origin("autoscale")
    table = Table(data, "", "autoscale", origin)
    if table.holds("processes"):
        raise table.refuse("processes", "has no meaning here: the path names the process group")
    policy = read_policy(table)
    table.done()
    if origin.warnings:
        raise BadInput(origin.warnings[0], hint="remove the key")
    return policy


def policy_to_json(policy: AutoscalePolicy) -> dict[str, Any]:
    """Return what `policy_of_json` reads; what is as by default is left out, but for the bounds."""
    out: dict[str, Any] = {
        "min": policy.min,
        "max": policy.max,
        "concurrency": policy.concurrency or None,
        "up_after": spell_seconds(policy.up_after) if policy.up_after else None,
        "down_after": spell_seconds(policy.down_after) if policy.down_after != 300 else None,
        "up_step": policy.up_step or None,
        "down_step": policy.down_step or None,
        "drain_timeout": spell_seconds(policy.drain_timeout) if policy.drain_timeout != 900 else None,
        "remove": policy.remove if policy.remove != "made" else None,
        "metrics": [_signal_to_json(signal) for signal in policy.signals] or None,
    }
    return {key: value for key, value in out.items() if value is not None}


def _signal_to_json(signal: Signal) -> dict[str, Any]:
    target: float = int(signal.target) if signal.target == int(signal.target) else signal.target
    out: dict[str, Any] = {"name": signal.name, "target": target}
    if signal.aggregate != "sum":
        out["aggregate"] = signal.aggregate
    if signal.of:
        out["of"] = signal.of
    if signal.labels:
        out["labels"] = dict(signal.labels)
    return out


def check_policy(policy: AutoscalePolicy, *, serves: bool, volume: bool, scheduled: bool) -> tuple[str, str]:
    """Return which key does not fit the group's machines and why; ("", "") when all do."""
    if scheduled:
        return "processes", "names a process group that runs at times ([[schedules]])"
    if volume:
        return "processes", "names a process group with [mounts]: a volume belongs to one machine, and is not cloned"
    if policy.concurrency and not serves:
        return "concurrency", "needs a process group that serves requests: scale this one by [[autoscale.metrics]]"
    if serves and policy.min == 0:
        return "min", "must be at least 1 where requests are served: a machine that sleeps costs nothing"
    return "", ""
