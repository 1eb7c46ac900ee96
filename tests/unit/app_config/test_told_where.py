"""What is wrong with a value, or has no effect, is told with its line and its own name."""

from __future__ import annotations

import pytest

from roost.model.app_config_read import read_app_config
from roost.model.errors import BadInput

CACHE = '[[http_service.http_options.replay_cache]]\npath_prefix = "x"\nname = "a"\nttl_seconds = 60\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CACHE, r"line \d+: http_service\.http_options\.replay_cache\[0\]\.path_prefix must begin"),
        ("[http_service.rate_limit]\nper_second = 0\n", r"line \d+: http_service\.rate_limit\.per_second must be"),
        (
            "[http_service.rate_limit]\nburst = 5\n",
            r"line \d+: http_service\.rate_limit\.burst needs http_service\.rate_limit\.per_second$",
        ),
    ],
)
def test_errors(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_app_config(text, name="roost.toml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[http_service.concurrency]\nsoft_limit = 30\nhard_limit = 20\n", "soft_limit is 30, above hard_limit"),
        ('[[http_service.checks]]\ninterval = "1ms"\n', "checks[0].interval is 0.001 s, which is taken as 0.5 s"),
        ('[[http_service.checks]]\ntimeout = "100s"\n', "checks[0].timeout is 100 s, which is taken as 60 s"),
        ("[http_service.concurrency]\nsoft_limit = 30\n", ""),
    ],
)  # fmt: skip
def test_warnings(text: str, told: str) -> None:
    warnings = read_app_config(text, name="roost.toml")[1]
    assert len(warnings) == bool(told)
    assert all(told in warning and "line " in warning for warning in warnings)
