"""Prometheus metrics: the API's own counters, and the cloud's state read from control at each scrape.

State: one registry per API, so that two clouds in one process do not share counters.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from roost.control.contract import CloudStatus, Control
from roost.control.contract_requests import EdgeCounts
from roost.model.edge_errors import edge_error

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class ApiMetrics:
    """Counts requests and renders everything as Prometheus text."""

    def __init__(self, control: Control) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "roost_api_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "roost_api_response_seconds",
            "Time from a request to the first byte of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Cloud(control))

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is a template, so that the number of series is bounded."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        """Return all metrics as text. Blocks: it asks control."""
        return generate_latest(self._registry)


class _Cloud(Collector):
    def __init__(self, control: Control) -> None:
        self._control = control

    def describe(self) -> list[Metric]:
        """Return nothing: registering must not ask control."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the cloud's gauges."""
        status = self._control.status()
        yield from cloud_metrics(status)
        yield from request_metrics(self._control.requests.counts())


def cloud_metrics(status: CloudStatus) -> Iterator[Metric]:
    """Yield one cloud's state as gauges. Pure."""
    gauges = (
        ("roost_apps", "Apps.", status.apps),
        ("roost_pool_used_bytes", "Bytes used of the pool of disks.", status.pool_used),
        ("roost_pool_size_bytes", "Size of the pool of disks.", status.pool_total),
        ("roost_edge_routes", "Apps routed at the edge: those that are awake.", status.edge.routes),
        ("roost_edge_connected", "1 while the edge proxy follows roostd.", int(status.edge.connected)),
        ("roost_start_time_seconds", "Unix time of roostd's start.", status.started_at),
    )
    for name, text, value in gauges:
        yield GaugeMetricFamily(name, text, value=value)
    machines = GaugeMetricFamily("roost_machines", "Machines by state.", labels=("state",))
    for state, count in sorted(status.machines_by_state.items()):
        machines.add_metric((state,), count)
    yield machines


def request_metrics(counts: EdgeCounts) -> Iterator[Metric]:
    """Yield what the edge saw of the apps with traffic in the last hour, latencies of the last five minutes. Pure."""
    answers = CounterMetricFamily("roost_app_answers", "Answers, by class of status.", labels=("app", "status"))
    errors = CounterMetricFamily("roost_app_errors", "Errors, and whose fault.", labels=("app", "error", "fault"))
    latency = GaugeMetricFamily("roost_app_latency_seconds", "Percentiles.", labels=("app", "part", "quantile"))
    for app, statuses, by_class, window in counts.apps:
        for status, count in statuses.items():
            answers.add_metric((app, status), count)
        for code, count in by_class.items():
            errors.add_metric((app, code, edge_error(code).fault), count)
        for part, found in window.latency.items():
            for quantile, value in found.items():
                latency.add_metric((app, part, f"{quantile / 100:g}"), value / 1000)
    nobodys = CounterMetricFamily("roost_edge_errors", "Errors of requests for no app.", labels=("error", "fault"))
    for code, count in counts.nobodys.items():
        nobodys.add_metric((code, edge_error(code).fault), count)
    yield from (answers, errors, latency, nobodys)
    yield CounterMetricFamily("roost_requests_not_logged", "Requests served and not logged.", value=counts.dropped)
