"""Keys of fly.toml beyond services and processes: each comes to the machine, and reads back as it was written."""

from __future__ import annotations

import base64

import pytest

from roost.model.app_config import AppConfig, Backups, MachineCheck
from roost.model.app_config_read import (
    app_config_from_json,
    app_config_to_json,
    machine_configs,
    read_app_config,
    write_app_config,
)
from roost.model.errors import BadInput
from roost.model.machine_config import Check, Guest, MachineConfig, Mount, StopConfig, read_machine_config
from roost.model.machine_config import machine_config_to_json as machine_to_json
from roost.model.serving_config import Metrics, Static

LOCAL = {"conf/app.ini": b"\0\xff local"}
TEXT = """
swap_size_mb = 512
console_command = "bin/console"
kill_signal = "SIGQUIT"

[processes]
app = "web"
worker = "work"

[[files]]
guest_path = "/etc/app/app.ini"
local_path = "conf/app.ini"
mode = 0o600
[[files]]
guest_path = "/etc/app/greeting"
raw_value = "aGVsbG8="
processes = ["worker"]
[[files]]
guest_path = "/etc/app/key"
secret_name = "KEY"

[[vm]]
memory = "1gb"
persist_rootfs = "restart"

[mounts]
source = "data"
destination = "/data"
initial_size = "3gb"
snapshot_retention = 14
scheduled_snapshots = false
auto_extend_size_threshold = 80
auto_extend_size_increment = "2GB"
auto_extend_size_limit = 9

[deploy]
release_command = "migrate"
seed_command = "seed"
max_unavailable = 2
[deploy.release_command_vm]
size = "performance-1x"

[http_service]
processes = ["app"]
[[http_service.checks]]
protocol = "https"
tls_server_name = "shop.test"
kind = "informational"
[http_service.checks.headers]
X-A = "1"
X-B = ["2", "3"]
[[http_service.machine_checks]]
image = "curlimages/curl"
command = "sh -c 'curl -f $FLY_TEST_MACHINE_IP'"
kill_timeout = "10s"

[[machine_checks]]
command = ["bin/test"]
entrypoint = ["/bin/sh", "-c"]
kill_signal = "SIGKILL"

[checks.alive]
port = 9000
processes = ["worker"]
"""


def read(text: str, name: str = "fly.toml") -> tuple[AppConfig, list[str]]:
    return read_app_config(text, name=name, content=LOCAL.__getitem__)


def machines(config: AppConfig) -> dict[str, MachineConfig]:
    return machine_configs(config, image="i", plan_processes={}, release=1)


def test_each_comes_to_the_machine() -> None:
    config, warnings = read(TEXT)
    assert warnings == []
    made = machines(config)
    app, worker = made["app"], made["worker"]
    assert app.init.swap_size_mb == worker.init.swap_size_mb == 512
    assert app.guest == worker.guest == Guest("shared", 1, 1024, persist_rootfs="restart")
    assert app.stop_config == StopConfig("SIGQUIT", 5.0)
    assert [(f.guest_path, f.content, f.secret_name, f.mode) for f in app.files] == [
        ("/etc/app/app.ini", LOCAL["conf/app.ini"], "", 0o600),
        ("/etc/app/key", b"", "KEY", 0o644),
    ]
    assert [f.content for f in worker.files] == [LOCAL["conf/app.ini"], b"hello", b""]
    assert app.mounts == (Mount("/data", "", "data", 3, 80, 2, 9),)
    assert worker.mounts == ()
    (check,) = app.services[0].checks
    assert (check.protocol, check.tls_server_name, check.kind) == ("https", "shop.test", "informational")
    assert check.headers == (("X-A", "1"), ("X-B", "2"), ("X-B", "3"))
    assert (app.checks, worker.checks) == ({}, {"alive": Check(9000)})
    assert all(read_machine_config(machine_to_json(m)) == m for m in made.values())


def test_what_is_of_the_deploy() -> None:
    config, _ = read(TEXT)
    assert config.console_command == "bin/console"
    assert config.backups == {"data": Backups(14, False)}
    assert config.deploy.release_command_guest == Guest("performance", 1, 2048)
    assert (config.deploy.seed_command, config.deploy.max_unavailable) == ("seed", 2)
    assert config.machine_checks == (
        ((), MachineCheck("", ("bin/test",), ("/bin/sh", "-c"), "SIGKILL")),
        (("app",), MachineCheck("curlimages/curl", ("sh", "-c", "curl -f $FLY_TEST_MACHINE_IP"), kill_timeout=10.0)),
    )


def test_all_of_it_reads_back_equal() -> None:
    config, _ = read(TEXT)
    assert app_config_from_json(app_config_to_json(config)) == config
    assert read_app_config(write_app_config(config), name="roost.toml") == (config, [])


@pytest.mark.parametrize(
    ("raw", "content", "warned"),
    [
        ("", b"", False), ("aGVsbG8=", b"hello", False), ("aGVs\nbG8=\n", b"hello", False),
        ("a = 1\nb = 2\n", b"a = 1\nb = 2\n", False), ("hello", b"hello", False), ("/wD/", b"\xff\0\xff", True),
    ],
)  # fmt: skip
def test_a_raw_value_is_base64_or_else_text(raw: str, content: bytes, warned: bool) -> None:
    config, warnings = read(f'[[files]]\nguest_path = "/f"\nraw_value = """{raw}"""\n')
    assert config.files[0][1].content == content
    assert bool(warnings) is warned
    again = app_config_from_json(app_config_to_json(config))
    assert again.files == config.files


def test_files_are_bounded() -> None:
    big = base64.b64encode(bytes(900_000)).decode()
    one = '[[files]]\nguest_path = "/{}"\nlocal_path = "x"\n'
    for count, fits in ((2, True), (3, False)):
        text = "".join(one.format(n) for n in range(count))
        try:
            read_app_config(text, name="roost.toml", content=lambda _: base64.b64decode(big))
        except Exception as error:
            assert not fits
            assert "files hold more than 2 MiB" in str(error)
        else:
            assert fits


MERGED = """
machine_config = '''{"guest": {"memory_mb": 300}, "env": {"A": "1", "B": "1"}, "dns": {"hostname": "web"},
  "init": {"tty": true, "user": "nobody"}, "rootfs": {"size_gb": 3}, "stop_config": {"timeout": "9s"},
  "files": [{"guest_path": "/f", "raw_value": "aGVsbG8="}], "restart": {"policy": "always"}}'''
kill_signal = "SIGTERM"
[env]
B = "2"
[[files]]
guest_path = "/f"
raw_value = "other"
"""


def test_machine_config_is_below_what_the_tables_say() -> None:
    config, warnings = read(MERGED)
    assert warnings == []
    (made,) = machine_configs(config, image="i", plan_processes={"app": "run"}, release=1).values()
    assert (made.image, made.env, made.dns.hostname, made.rootfs_gb) == ("i", {"A": "1", "B": "2"}, "web", 3)
    assert made.guest == Guest(memory_mb=300)
    assert (made.init.tty, made.init.user, made.init.cmd) == (True, "nobody", ("/bin/sh", "-c", "exec run"))
    assert made.stop_config == StopConfig("SIGTERM", 9.0)
    assert [file.content for file in made.files] == [b"other"]
    assert made.restart.policy == "always"
    assert made.metadata["fly_process_group"] == "app"
    assert app_config_from_json(app_config_to_json(config)) == config


def test_machine_config_of_experimental_is_the_older_name() -> None:
    text = '[experimental]\nmachine_config = \'{"dns": {"hostname": "x"}}\'\n'
    config, warnings = read(text)
    assert (config.machine_config, warnings) == ({"dns": {"hostname": "x"}}, [])


def test_yaml_says_the_same() -> None:
    text = "app: shop\nenv: {A: 1, B: on}\nhttp_service:\n  internal_port: 80\n  checks:\n    - path: /up\n"
    config, warnings = read_app_config(text, name="fly.yaml")
    assert (config.app, config.env, warnings) == ("shop", {"A": "1", "B": "true"}, [])
    assert config.services[0][1].checks[0].path == "/up"
    assert config.services[0][1].autostop == "off"


BOMB = "a: &a [1]\n" + "".join(
    f"{letter}: &{letter} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, letter in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "fly.yaml is not valid YAML"), ("!!python/object/apply:os.system ['x']", "not valid YAML"),
        ("- 1", "must be a table"), (BOMB, "more than"),
        ("a: &a [*a]", "more than"),
    ],
)  # fmt: skip
def test_hostile_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_app_config(text, name="fly.yaml")


def test_statics_and_metrics() -> None:
    text = """
[processes]
app = "web"
worker = "work"
[http_service]
[[statics]]
guest_path = "/app/public/"
url_prefix = "/static/"
index_document = "index.html"
[[metrics]]
port = 9091
processes = ["worker"]
[[metrics]]
port = 9090
path = "/m"
https = true
processes = ["app"]
"""
    config, warnings = read(text)
    assert warnings == []
    made = machines(config)
    assert made["app"].statics == (Static("/app/public", "/static", "index.html"),)
    assert made["worker"].statics == ()
    assert (made["app"].metrics, made["worker"].metrics) == (Metrics(9090, "/m", True), Metrics(9091))
    assert app_config_from_json(app_config_to_json(config)) == config
    assert read_app_config(write_app_config(config), name="roost.toml") == (config, [])
    assert all(read_machine_config(machine_to_json(m)) == m for m in made.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[statics]]\nguest_path = 'a'\nurl_prefix = '/a'", r"line 1: statics\[0\]\.guest_path"),
        ("[[statics]]\nguest_path = '/'\nurl_prefix = '/a'", "guest_path"),
        ("[[statics]]\nguest_path = '/a/../b'\nurl_prefix = '/a'", "guest_path"),
        ("[[statics]]\nguest_path = '/a'\nurl_prefix = 'a'", "url_prefix"),
        ("[[statics]]\nguest_path = '/a'\nurl_prefix = '/a b'", "url_prefix"),
        ("[[statics]]\nguest_path = '/a'\nurl_prefix = '/%2e'", "url_prefix"),
        ("[[statics]]\nguest_path = '/a'\nurl_prefix = '/a'\nindex_document = 'a/b'", "index_document"),
        ("[[statics]]\nguest_path = '/a'\nurl_prefix = '/a'\ntigris_bucket = 'b'", "tigris_bucket is not supported"),
        ("[[statics]]\nguest_path = '/a'\nurl_prefix = '/a'\n" * 2, "twice"),
        ("".join(f"[[statics]]\nguest_path = '/a'\nurl_prefix = '/{n}'\n" for n in range(11)), "at most 10"),
        ("[metrics]\npath = '/m'", r"metrics\.port is missing"), ("[metrics]\nport = 1\npath = 'm'", "path must begin"),
        ("[[metrics]]\nport = 1\n[[metrics]]\nport = 2", "which groups"),
    ],
)  # fmt: skip
def test_statics_and_metrics_that_can_not_be(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read(text)


@pytest.mark.parametrize("strategy", ["rolling", "immediate", "canary", "bluegreen"])
def test_every_strategy(strategy: str) -> None:
    text = f'[deploy]\nstrategy = "{strategy}"\n[http_service]\n[[http_service.checks]]\n'
    config, warnings = read(text)
    assert (config.deploy.strategy, warnings) == (strategy, [])
    assert app_config_from_json(app_config_to_json(config)) == config


def test_bluegreen_needs_a_check() -> None:
    with pytest.raises(BadInput, match=r"line 2: deploy\.strategy can't be 'bluegreen'"):
        read('[deploy]\nstrategy = "bluegreen"\n[http_service]\n')
