"""`[[metrics]]` and `[[statics]]` of `roost.toml`: read, and written again. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from roost.model.app_config import Groups
from roost.model.app_config_table import Table
from roost.model.serving_config import (
    NO_BUCKET,
    Metrics,
    Static,
    check_metrics,
    check_statics,
    checked_static,
    static_to_json,
)


def read_metrics_of(top: Table) -> tuple[tuple[Groups, Metrics], ...]:
    """Read `[metrics]` or `[[metrics]]`, with the groups they are for; raises BadInput."""
    found: list[tuple[Groups, Metrics]] = []
    for table in top.tables("metrics", "metrics"):
        if not table.has("port"):
            raise table.refuse("port", "is missing: name the port that answers with the metrics")
        metrics = Metrics(
            table.number("port", 0, 1, 65535), table.text("path", "/metrics") or "/metrics", table.flag("https", False)
        )
        check_metrics(metrics, table.origin.at(table.path("").removesuffix(".")))
        groups = table.words("processes")
        for others, _ in found:
            if not groups or not others or set(groups) & set(others):
                raise table.refuse("processes", "must say which groups: a machine has one place of metrics")
        found.append((groups, metrics))
        table.done()
    return tuple(found)


def metrics_to_json(metrics: tuple[tuple[Groups, Metrics], ...]) -> list[dict[str, Any]]:
    """Return what `read_metrics_of` reads."""
    return [
        {key: value for key, value in asdict(one).items() if value} | ({"processes": list(groups)} if groups else {})
        for groups, one in metrics
    ]


def read_statics_of(top: Table) -> tuple[Static, ...]:
    """Read `[[statics]]`; raises BadInput."""
    statics = []
    for table in top.tables("statics", "statics"):
        static = Static(table.text("guest_path"), table.text("url_prefix"), table.text("index_document"))
        if table.take("tigris_bucket"):
            raise table.refuse("tigris_bucket", "is not supported", NO_BUCKET)
        statics.append(checked_static(static, table.origin.at(table.path("").removesuffix("."))))
        table.done()
    check_statics(tuple(statics), top.origin.at("statics"))
    return tuple(statics)


def statics_to_json(statics: tuple[Static, ...]) -> list[dict[str, Any]]:
    """Return what `read_statics_of` reads."""
    return [static_to_json(static) for static in statics]
