"""roost.toml and fly.toml: every key works or is named; mistakes are found with their lines."""

from __future__ import annotations

import re

import pytest

from roost.model.app_config import AppConfig
from roost.model.app_config_read import app_config_from_json, app_config_to_json, read_app_config
from roost.model.errors import BadInput
from roost.model.machine_config import Check, Guest, Port, Restart

FLY = """
app = "shop"
primary_region = "lhr"
kill_signal = "SIGTERM"
kill_timeout = 30

[build]
dockerfile = "Dockerfile"
build-target = "web"
[build.args]
VERSION = "3"

[deploy]
strategy = "rolling"
release_command = "bin/migrate"
wait_timeout = "2m"

[env]
LOG = "info"
WORKERS = 2
DEBUG = false

[processes]
app = "bin/web"
worker = "bin/work"

[http_service]
internal_port = 3000
force_https = true
auto_stop_machines = "stop"
auto_start_machines = true
min_machines_running = 1
processes = ["app"]
[http_service.concurrency]
type = "requests"
soft_limit = 20
hard_limit = 25
[[http_service.checks]]
grace_period = "10s"
interval = "30s"
method = "GET"
timeout = "5s"
path = "/health"
[http_service.checks.headers]
X-Check = "1"

[[services]]
internal_port = 5432
protocol = "tcp"
processes = ["worker"]
[[services.ports]]
port = 5432
[[services.tcp_checks]]
interval = "15s"

[[vm]]
size = "shared-cpu-2x"
memory = "1gb"
[[vm]]
size = "performance-1x"
processes = ["worker"]

[[restart]]
policy = "never"
retries = 3
processes = ["worker"]

[checks.alive]
type = "http"
port = 3000
path = "/alive"
"""


def test_a_full_fly_toml_is_read() -> None:
    config, warnings = read_app_config(FLY, name="fly.toml")
    assert warnings == []
    assert (config.app, config.kill_signal, config.kill_timeout) == ("shop", "SIGTERM", 30.0)
    assert (config.build.dockerfile, config.build.target, config.build.args) == ("Dockerfile", "web", {"VERSION": "3"})
    assert config.env == {"LOG": "info", "WORKERS": "2", "DEBUG": "false"}
    assert (config.deploy.release_command, config.deploy.wait_timeout) == ("bin/migrate", 120.0)
    groups, http = config.services[0]
    assert groups == ("app",)
    assert (http.internal_port, http.autostop, http.min_machines_running) == (3000, "stop", 1)
    assert http.ports == (Port(80, ("http",), True), Port(443, ("tls", "http")))
    assert http.checks == (Check(3000, "http", 30.0, 5.0, 10.0, "GET", "/health", (("X-Check", "1"),)),)
    assert config.services[1][0] == ("worker",)
    assert config.services[1][1].checks[0].type == "tcp"
    assert config.guests == {"": Guest("shared", 2, 1024), "worker": Guest("performance", 1, 2048)}
    assert config.restarts == {"worker": Restart("no", 3)}
    assert config.checks["alive"].path == "/alive"


def test_json_and_toml_forms_say_the_same() -> None:
    config, _ = read_app_config(FLY, name="fly.toml")
    assert app_config_from_json(app_config_to_json(config)) == config
    assert app_config_from_json({}) == AppConfig()


@pytest.mark.parametrize(
    ("value", "autostop"),
    [("true", "stop"), ("false", "off"), ('"off"', "off"), ('"stop"', "stop"), ('"suspend"', "suspend")],
)
def test_every_spelling_of_auto_stop(value: str, autostop: str) -> None:
    config, _ = read_app_config(f"[http_service]\nauto_stop_machines = {value}\n", name="fly.toml")
    assert config.services[0][1].autostop == autostop


def test_without_auto_stop_fly_apps_stay_up_and_roost_apps_sleep() -> None:
    text = "[http_service]\ninternal_port = 80\n"
    assert read_app_config(text, name="fly.toml")[0].services[0][1].autostop == "off"
    assert read_app_config(text, name="/src/shop/fly.toml")[0].services[0][1].autostop == "off"
    assert read_app_config(text, name="roost.toml")[0].services[0][1].autostop == "suspend"


def test_our_own_keys() -> None:
    config, warnings = read_app_config(
        'isolation = "gvisor"\n[http_service]\nauto_stop_after = "90s"\n', name="roost.toml"
    )
    assert warnings == []
    assert config.isolation == "gvisor"
    assert config.services[0][1].idle_timeout == 90.0


def test_unknown_keys_warn_with_the_line_and_what_was_meant() -> None:
    _, warnings = read_app_config("aap = 1\n[http_service]\ninternal_prot = 3\n", name="roost.toml")
    assert "roost.toml, line 3: http_service.internal_prot is not a known key: did you mean internal_port?" in warnings
    assert any("line 1: aap" in warning and "app" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[build]\nbuilder = "x"', "build.builder"), ('[build.compose]\nfile = "x"', "build.compose"),
        ("[experimental]\nauto_rollback = false", "experimental.auto_rollback"), ("[[vm]]\ngpus = 1", "gpus"),
        ('host_dedication_id = "x"', "host_dedication_id"), ("[experimental]\nenable_consul = true", "enable_consul"),
    ],
)  # fmt: skip
def test_keys_that_have_no_effect_are_named_with_the_reason(text: str, key: str) -> None:
    _, (warning,) = read_app_config(text, name="fly.toml")
    assert re.search(rf"{re.escape(key)} has no effect: \w+ \w+", warning)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("app = 3", "line 1: app must be a string"),
        ('app = "A B"', "can't be an app's name"),
        ("[http_service]\n\ninternal_port = 'x'", r"line 3: http_service\.internal_port must be a whole number"),
        ("[http_service]\ninternal_port = 70000", "whole number from 1 to 65535"),
        ("kill_timeout = '10 minutes'", "must be a duration"),
        ("kill_timeout = '10m'", "at most 300 s"),
        ("[[vm]]\nsize = 'huge'", r"line 2: vm\[0\]\.size 'huge' is not a machine size"),
        ("[[vm]]\nmemory = 'lots'", "must be an amount of memory"),
        ("[[vm]]\nmemory = 1", "at least 16 MB"),
        ("[env]\nFLY_X = 'a'", "is reserved"),
        ("[env]\nX = ['a']", "must be a string"),
        ("[build]\ndockerfile = '../x'", "below the source directory"),
        ("[build]\ndockerfile = 'a/../../x'", "below the source directory"),
        ("[checks]\na = 3", "must be a table"),
        (
            "[[mounts]]\nsource = 'd'\ndestination = '/d'\nauto_extend_size_limit = '9gb'",
            "auto_extend_size_threshold is",
        ),
        ("[[mounts]]\nsource = 'd'\ndestination = '/d'\nauto_extend_size_threshold = 80", "increment is missing"),
        ("[[mounts]]\nsource = 'd'\ndestination = '/d'\nsnapshot_retention = 61", "from 1 to 60"),
        ("[[files]]\nguest_path = '/x'", r"files\[0\]\.local_path"),
        ("[[files]]\nguest_path = '/x'\nlocal_path = 'a'\nraw_value = ''", r"files\[0\]\.local_path"),
        ("[[files]]\nguest_path = '/proc/x'\nraw_value = ''", "no file can be put"),
        ("[[files]]\nguest_path = '/a/../b'\nraw_value = ''", "absolute path"),
        ("[[files]]\nguest_path = '/a'\nlocal_path = 'b'", "can't be read here"),
        ("[[files]]\nguest_path = '/a'\nsecret_name = 'a b'", "secret's name"),
        ("[[files]]\nguest_path = '/a'\nsecret_name = 'A'\n[[files]]\nguest_path = '/a'\nsecret_name = 'A'", "twice"),
        ("[[files]]\nguest_path = '/a'\nsecret_name = 'A'\nmode = 0o1000", "octal"),
        ("[deploy]\nmax_unavailable = 1.5", "whole number of machines"),
        ("[deploy.release_command_vm]\nprocesses = ['a']", "has no meaning"),
        ("[[machine_checks]]\n", "command is missing"),
        ('[[machine_checks]]\ncommand = "a \'b"', r"machine_checks\[0\]\.command can't be read"),
        ("[checks.a]\ntls_skip_verify = true", r"checks\.a\.tls_skip_verify needs"),
        ("[processes]\nweb = 'x'\n[checks.a]\nprocesses = ['b']\n", "does not have"),
        ("[[services]]\nprotocol = 'sctp'", "must be one of tcp, udp"),
        ("[[services]]\n[[services.ports]]\nport = 25\nhandlers = ['pgtls']", "is not supported"),
        ("[http_service]\nauto_stop_machines = 'sometimes'", "must be one of off, stop, suspend"),
        ("[processes]\na = 'x'\nb = 'y'\n[http_service]\n", "must say which of the process groups"),
        ("[processes]\nweb = 'x'\n[http_service]\nprocesses = ['wbe']", "does not have"),
        ("[processes]\n'a/b' = 'x'", "process group's name"),
        ("[[http_service.checks]]\npath = 'x'", "must begin with '/'"),
        ("[http_service.checks]\nheaders = {'a b' = '1'}", "HTTP does not allow"),
        ("a = \n", "line 1"),
    ],
)
def test_mistakes_are_found_and_placed(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_app_config(text, name="roost.toml")


def test_broken_json_is_named() -> None:
    with pytest.raises(BadInput, match=r"fly\.json is not valid JSON"):
        read_app_config("{", name="fly.json")


def test_json_from_the_wire_is_strict() -> None:
    with pytest.raises(BadInput, match="mounts"):
        app_config_from_json({"mounts": {"source": "x"}})
    with pytest.raises(BadInput, match="must be a table"):
        app_config_from_json([])
