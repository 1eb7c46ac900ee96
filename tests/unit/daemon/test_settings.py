from __future__ import annotations

from pathlib import Path

import pytest

from roost.api.rates import Rate
from roost.daemon.settings import read_settings
from roost.model.errors import BadInput

FULL = """
log_level = "debug"
cache = "/srv/cache"
[pool]
size_gb = 50
[registry]
default = "registry.example"
auth_file = "/etc/roost/auth.json"
insecure = ["127.0.0.1:5000"]
[registry.mirrors]
"docker.io" = "mirror.example"
"""


def test_defaults_without_a_file(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {})
    assert settings.home == tmp_path
    assert settings.log_level == "info"
    assert settings.pool_gb == 0
    assert settings.registry.default_registry == "docker.io"
    assert settings.fault_file is None


def test_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(FULL)
    settings = read_settings(tmp_path, {})
    assert (settings.log_level, settings.cache, settings.pool_gb) == ("debug", Path("/srv/cache"), 50)
    assert settings.registry.default_registry == "registry.example"
    assert settings.registry.auth_file == Path("/etc/roost/auth.json")
    assert settings.registry.mirrors == {"docker.io": "mirror.example"}
    assert settings.registry.insecure == {"127.0.0.1:5000"}


def test_the_issuer_has_no_final_slash(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[oidc]\nissuer = "https://id.example.com/cloud/"')
    assert read_settings(tmp_path, {}).issuer == "https://id.example.com/cloud"


def test_limits_are_off_until_they_are_enabled(tmp_path: Path) -> None:
    assert not read_settings(tmp_path, {}).rates.enabled
    (tmp_path / "config.toml").write_text(
        "[limits]\nenabled = true\nper_second = 2.5\nget_burst = 20\napp_deletions_per_minute = 30\n"
    )
    rates = read_settings(tmp_path, {}).rates
    assert (rates.enabled, rates.action, rates.get) == (True, Rate(2.5, 3.0), Rate(5.0, 20.0))
    assert rates.delete_app == Rate(0.5, 30.0)


def test_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(FULL)
    env = {"ROOST_LOG_LEVEL": "error", "ROOST_POOL_GB": "7", "ROOST_DEFAULT_REGISTRY": "other.example"}
    settings = read_settings(None, env | {"ROOST_HOME": str(tmp_path)})
    assert (settings.log_level, settings.pool_gb) == ("error", 7)
    assert settings.registry.default_registry == "other.example"


def test_the_flag_wins_over_the_environment(tmp_path: Path) -> None:
    assert read_settings(tmp_path, {"ROOST_HOME": "/elsewhere"}).home == tmp_path


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("log_levle = 'info'", "log_levle"),
        ("log_level = 'loud'", "loud"),
        ("[pool]\nsize = 5", "pool.size"),
        ("[pool]\nsize_gb = -1", "pool.size_gb"),
        ("[pool]\nsize_gb = 'big'", "pool.size_gb"),
        ("pool = 5", "pool"),
        ("[registry]\nauth_file = 'auth.json'", "auth_file"),
        ("[registry]\nmirrors = ['a']", "mirrors"),
        ("[registry]\ninsecure = 'a'", "insecure"),
        ("[limits]\nenabled = 1", "limits.enabled"),
        ("[limits]\nburst = 0.5", "limits.burst"),
        ("[limits]\nper_second = 'a'", "limits.per_second"),
        ("[oidc]\nissuer = 5", "oidc.issuer"),
        ("[oidc]\nissuer = 'id.example.com'", "oidc.issuer"),
        ("[oidc]\nissuer = 'https://[::1'", "oidc.issuer"),
        ("[oidc]\nissuer = 'https://a.example/?x'", "oidc.issuer"),
        ("[oidc]\nissuer = 'https://user@a.example'", "oidc.issuer"),
        ("[oidc]\nkeys = 'x'", "oidc.keys"),
        ("x =", "not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(BadInput, match=named):
        read_settings(tmp_path, {})
