"""`[[schedules]]`: process groups that run at times."""

from __future__ import annotations

import pytest

from roost.model.app_config_read import (
    app_config_from_json,
    app_config_to_json,
    machine_configs,
    read_app_config,
    write_app_config,
)
from roost.model.errors import BadInput
from roost.model.schedule import Schedule

TEXT = """
app = "shop"

[processes]
app = "serve"
report = "python report.py"

[http_service]
internal_port = 8080

[[schedules]]
schedule = "30 2 * * mon-fri"
timezone = "Europe/Berlin"
processes = ["report"]
"""
ALONE = '[[schedules]]\nschedule = "daily"\n'


def test_a_group_runs_at_times_and_the_others_serve() -> None:
    config, warnings = read_app_config(TEXT, name="roost.toml")
    assert warnings == []
    made = machine_configs(config, image="i", plan_processes={}, release=1)
    assert made["report"].schedule == Schedule("30 2 * * mon-fri", "Europe/Berlin")
    assert made["app"].schedule is None and made["app"].services and not made["report"].services
    assert app_config_from_json(app_config_to_json(config)) == config
    assert read_app_config(write_app_config(config), name="roost.toml")[0] == config


def test_an_app_of_one_group_need_not_name_it() -> None:
    config, warnings = read_app_config(ALONE, name="roost.toml")
    assert warnings == []
    made = machine_configs(config, image="i", plan_processes={}, release=1)
    assert made["app"].schedule == Schedule("daily", "UTC")
    with pytest.raises(BadInput, match="which of the process groups"):
        machine_configs(config, image="i", plan_processes={"a": "x", "b": "y"}, release=1)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[[schedules]]\nschedule = "sometimes"\n', "line 2"),
        ("[[schedules]]\n", "schedules[0].schedule is missing"),
        ('[[schedules]]\nschedule = "daily"\ntimezone = "Mars"\n', "timezone"),
        (ALONE + ALONE, "a second schedule"),
        (ALONE + "[http_service]\n", "http_service"),
        (ALONE + '[[restart]]\npolicy = "always"\n', "restart"),
        (TEXT.replace('processes = ["report"]', 'processes = ["app"]'), "http_service"),
        (TEXT.replace('processes = ["report"]', ""), "must say which of the process groups"),
        (TEXT.replace('processes = ["report"]', 'processes = ["nobody"]'), "'nobody'"),
    ],
)
def test_what_is_refused_names_the_key(text: str, named: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_app_config(text, name="roost.toml")
    assert named in refused.value.message
