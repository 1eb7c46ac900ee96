"""Metrics of machines: hostile text is bounded, labels can't be forged, machines are summed up."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from roost.plan.metrics import BadMetrics, Scrape, aggregated, parse_metrics, render

TEXT = b"""# HELP jobs_total Jobs "done".
# TYPE jobs_total counter
jobs_total{queue="a",app="forged",exported_app="too"} 3
jobs_total{queue="b\\"\\n"} 4
# TYPE depth gauge
depth 7.5 1700000000000
"""


def scrape(machine: str, body: bytes = TEXT, group: str = "app", at: float = 100.0) -> Scrape:
    return Scrape(machine, "local", group, at, parse_metrics(body))


def test_labels_say_whose_they_are_and_can_not_be_forged() -> None:
    text = "".join(render("shop", [scrape("m1"), scrape("m2")]))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(families) == {"jobs", "depth", "roost_scrape_up"}
    first = families["jobs"].samples[0]
    assert first.name == "jobs_total"
    assert first.labels == {
        "app": "shop", "instance": "m1", "machine": "m1", "region": "local", "process_group": "app",
        "queue": "a", "exported_app": "forged", "exported_exported_app": "too",
    }  # fmt: skip
    assert families["jobs"].samples[1].labels["queue"] == 'b"\n'
    assert [sample.value for sample in families["depth"].samples] == [7.5, 7.5]
    assert text.count("# TYPE jobs_total counter") == 1


def test_a_machine_that_did_not_answer_is_down_and_nobody_can_say_so_for_it() -> None:
    forged = scrape("m1", b"roost_scrape_up 1\nx 1\n")
    down = Scrape("m2", "local", "app", 1.0, (), "it is away")
    text = "".join(render("shop", [forged, down]))
    assert [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith("roost_scrape_up")] == [
        "1.0",
        "0.0",
    ]


@pytest.mark.parametrize(("how", "value"), [("sum", 21.0), ("avg", 7.0), ("max", 7.0), ("min", 7.0)])
def test_over_machines(how: str, value: float) -> None:
    scrapes = [scrape("m1"), scrape("m2"), scrape("m3", group="worker"), scrape("old", at=1.0)]
    assert aggregated(scrapes, "jobs_total", how, fresh_since=50.0, labels={}) == value


def test_of_a_group_and_of_labels() -> None:
    scrapes = [scrape("m1"), scrape("m3", b"depth NaN\n", group="worker")]
    assert aggregated(scrapes, "jobs_total", "sum", fresh_since=0, group="app", labels={"queue": "a"}) == 3
    assert aggregated(scrapes, "depth", "sum", fresh_since=0, group="worker", labels={}) is None
    assert aggregated(scrapes, "nothing", "max", fresh_since=0, labels={}) is None
    with pytest.raises(ValueError, match="how"):
        aggregated(scrapes, "depth", "median", fresh_since=0, labels={})


MANY = b"".join(b"x%d 1\n" % n for n in range(2001))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"x" * 5000, "longer than"), (b"x 1\n" * 9000, "lines"), (MANY, "series"),
        (b"<html>", "not Prometheus"), (b'x{a="1} 2', "not Prometheus"),
        (b"x{" + b",".join(b'l%d="1"' % n for n in range(33)) + b"} 1", "labels"),
        (b"x{" + b'a="",' * 300 + b"} 1", "labels"),
        (b"\xff\xfe{} 1", "can't be|not Prom"), (b"x{__a-b='1'} 2", "can't be|not Prom"),
    ],
)  # fmt: skip
def test_what_is_too_much_or_no_metrics_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadMetrics, match=why):
        parse_metrics(body)


@given(st.binary(max_size=300) | st.text('x{}=", \\\n#1aTYPE', max_size=200).map(str.encode))
def test_nothing_else_is_raised_and_what_is_read_can_be_written(body: bytes) -> None:
    try:
        families = parse_metrics(body)
    except BadMetrics:
        return
    text = "".join(render("shop", [Scrape("m", "local", "app", 1.0, families)]))
    assert text.endswith("\n")


def test_the_worst_text_takes_no_more_than_a_moment() -> None:
    began = time.process_time()
    labels = ",".join(f'l{n}="{"x" * 100}"' for n in range(32))
    parse_metrics(b"\n".join(f"m{n}{{{labels}}} 1".encode() for n in range(130)))
    assert time.process_time() - began < 2
