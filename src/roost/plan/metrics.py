"""The metrics of an app's machines: read from what they answered, summed up, and written with whose they are. Pure.

What a machine says is hostile: lines, labels and series are bounded before anything is parsed, and the labels that
say whose a series is can't be had by its app: they become `exported_NAME`, as with Prometheus itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

MAX_LINE = 4096  # characters
MAX_LINES = 8000
MAX_SERIES = 2000  # of one machine
MAX_LABELS = 32  # of one series
OWN_LABELS = ("app", "instance", "machine", "region", "process_group")
UP = "roost_scrape_up"
HOW = ("sum", "avg", "max", "min")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class BadMetrics(ValueError):
    """A machine's answer is not Prometheus text within the bounds; the text says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series: labels sorted by name."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """Series that belong together, with their type and what they mean."""

    name: str
    type: str
    help: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Scrape:
    """What was last heard of a machine. `at` is Unix time; `error` says why there are no families."""

    machine: str
    region: str
    group: str
    at: float
    families: tuple[Family, ...] = ()
    error: str = ""


def parse_metrics(body: bytes) -> tuple[Family, ...]:
    """Return the families in a text; raises BadMetrics."""
    text = body.decode("utf-8", "replace")
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        raise BadMetrics(f"more than {MAX_LINES} lines")
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            raise BadMetrics(f"line {number} is longer than {MAX_LINE} characters")
        if line.count("=") > 4 * MAX_LABELS and not line.lstrip().startswith("#"):
            raise BadMetrics(f"line {number} has more than {MAX_LABELS} labels")
    families: list[Family] = []
    left = MAX_SERIES
    try:
        for found in text_string_to_metric_families(text):
            samples = tuple(_sample(one.name, one.labels, one.value) for one in islice(found.samples, left + 1))
            left -= len(samples)
            if left < 0:
                raise BadMetrics(f"more than {MAX_SERIES} series")
            kept = tuple(sample for sample in samples if sample.name != UP)
            if kept and _NAME.fullmatch(found.name):
                families.append(Family(found.name, found.type, found.documentation, kept))
    except BadMetrics:
        raise
    except Exception as error:  # the parser's own, of many kinds
        raise BadMetrics(f"not Prometheus text: {str(error)[:200]}") from None
    return tuple(families)


def _sample(name: str, labels: Mapping[str, str], value: float) -> Sample:
    if not _NAME.fullmatch(name) or len(labels) > MAX_LABELS or not all(map(_LABEL.fullmatch, labels)):
        raise BadMetrics(f"a series with a name or labels that can't be: {name[:60]!r}")
    return Sample(name, tuple(sorted((key, str(text)) for key, text in labels.items())), float(value))


def aggregated(
    scrapes: Iterable[Scrape], metric: str, how: str, *, fresh_since: float, group: str = "", labels: Mapping[str, str]
) -> float | None:
    """Return the sum, avg, max or min over machines of a metric: of each, the sum of its series with these labels.

    None when no machine has told of it since `fresh_since`. Raises ValueError for another `how`.
    """
    if how not in HOW:
        raise ValueError(f"how must be one of {', '.join(HOW)}")
    wanted = set(labels.items())
    values = []
    for scrape in scrapes:
        if scrape.at < fresh_since or (group and scrape.group != group):
            continue
        series = [
            sample.value
            for family in scrape.families
            for sample in family.samples
            if sample.name == metric and wanted <= set(sample.labels)
        ]
        finite = [value for value in series if value == value]  # NaN says nothing
        if finite:
            values.append(sum(finite))
    if not values:
        return None
    return {"sum": sum(values), "avg": sum(values) / len(values), "max": max(values), "min": min(values)}[how]


def render(app: str, scrapes: Sequence[Scrape]) -> Iterator[str]:
    """Yield the lines of Prometheus text of all machines, each family once, with labels that say whose it is."""
    families: dict[str, list[tuple[Scrape, Family]]] = {}
    for scrape in scrapes:
        for family in scrape.families:
            families.setdefault(family.name, []).append((scrape, family))
    for name, members in sorted(families.items()):
        first = members[0][1]
        names = {sample.name for _, family in members for sample in family.samples}
        shown = f"{name}_total" if first.type == "counter" and names == {f"{name}_total"} else name
        if first.help:
            yield f"# HELP {shown} {_escaped(first.help, quote=False)}\n"
        yield f"# TYPE {shown} {first.type if first.type != 'unknown' else 'untyped'}\n"
        for scrape, family in members:
            for sample in family.samples:
                yield _line(sample, _own(app, scrape))
    yield f"# HELP {UP} Whether the machine told its metrics when it was last asked.\n# TYPE {UP} gauge\n"
    for scrape in scrapes:
        yield _line(Sample(UP, (), 0.0 if scrape.error else 1.0), _own(app, scrape))


def _own(app: str, scrape: Scrape) -> dict[str, str]:
    values = (app, scrape.machine, scrape.machine, scrape.region, scrape.group)
    return dict(zip(OWN_LABELS, values, strict=True))


def _line(sample: Sample, own: Mapping[str, str]) -> str:
    theirs = {_freed(name): value for name, value in sample.labels}
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in (*own.items(), *theirs.items()))
    return f"{sample.name}{{{labels}}} {_number(sample.value)}\n"


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _freed(name: str) -> str:
    """Return a label's name that is none of ours."""
    return f"exported_{name}" if name.removeprefix("exported_") in OWN_LABELS else name


def _escaped(text: str, *, quote: bool = True) -> str:
    plain = text.replace("\\", "\\\\").replace("\n", "\\n")
    return plain.replace('"', '\\"') if quote else plain
