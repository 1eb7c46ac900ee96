"""`[[autoscale]]`: numbers of machines that follow their load."""

from __future__ import annotations

import pytest

from roost.model.app_config_read import app_config_from_json, app_config_to_json, read_app_config, write_app_config
from roost.model.autoscale import AutoscalePolicy, Signal
from roost.model.errors import BadInput

TEXT = """
app = "shop"

[processes]
web = "serve"
worker = "work"

[http_service]
internal_port = 8080
processes = ["web"]

[[autoscale]]
processes = ["web"]
min = 2
max = 5
concurrency = 20
up_after = "10s"

[[autoscale]]
processes = ["worker"]
min = 0
max = 9
remove = "any"
[[autoscale.metrics]]
name = "queue_depth"
target = 100
aggregate = "max"
of = "web"
labels = {queue = "mail"}
"""


def test_read_and_written_again() -> None:
    config, warnings = read_app_config(TEXT, name="roost.toml")
    assert not warnings
    signal = Signal("queue_depth", 100.0, "max", "web", (("queue", "mail"),))
    assert config.autoscale == {
        "web": AutoscalePolicy(min=2, max=5, concurrency=20, up_after=10.0),
        "worker": AutoscalePolicy(min=0, max=9, remove="any", signals=(signal,)),
    }
    assert app_config_from_json(app_config_to_json(config)) == config
    assert read_app_config(write_app_config(config), name="roost.toml") == (config, [])


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("max = 5", "", "autoscale[0].max"),
        ("min = 2", "min = 6", "autoscale[0].min"),
        ("min = 2", "min = 0", "autoscale.min"),
        ("concurrency = 20", "", "autoscale[0].concurrency"),
        ('"web"]\nmin', '"webb"]\nmin', "webb"),
        ('"worker"]\nmin', '"web"]\nmin', "a second policy"),
        ("target = 100", "target = -1", "metrics[0].target"),
        ('name = "queue_depth"', 'name = "queue depth"', "metrics[0].name"),
        ('of = "web"', 'of = "mail"', "autoscale.metrics.of"),
        ("max = 9", "max = 9\nconcurrency = 3", "autoscale.concurrency"),
        (
            "[http_service]",
            '[[mounts]]\nsource = "d"\ndestination = "/d"\nprocesses = ["web"]\n[http_service]',
            "mounts",
        ),
        ("[http_service]", '[[schedules]]\nschedule = "daily"\nprocesses = ["worker"]\n[http_service]', "schedules"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(old: str, new: str, named: str) -> None:
    assert old in TEXT
    with pytest.raises(BadInput, match=r".*") as refused:
        read_app_config(TEXT.replace(old, new, 1), name="roost.toml")
    assert named in str(refused.value), refused.value
