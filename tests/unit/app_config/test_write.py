"""Writing roost.toml, and from a configuration to machines."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.model.app_config import AppConfig, BuildSettings, DeploySettings
from roost.model.app_config_read import (
    app_config_from_json,
    app_config_to_json,
    machine_configs,
    propose_app_config,
    read_app_config,
    shell_argv,
    write_app_config,
)
from roost.model.build_plan import BuildPlan
from roost.model.errors import BadInput
from roost.model.machine_config import Check, Guest, Init, Port, Restart, Service, read_machine_config
from roost.model.machine_config import machine_config_to_json as machine_to_json
from roost.model.rate_limit import RateLimit, RateLimits

PLAN = BuildPlan("python", "flask", ("e",), processes={"app": "gunicorn app:app", "worker": "celery"}, port=8080)
HTTP = (Port(80, ("http",)), Port(443, ("tls", "http")))


def test_the_proposal_sleeps_and_reads_back_equal() -> None:
    config = propose_app_config(PLAN, name="shop")
    text = write_app_config(config, PLAN)
    again, warnings = read_app_config(text, name="roost.toml")
    assert (again, warnings) == (config, [])
    assert config.services[0][1].autostop == "suspend"
    assert "# app: gunicorn app:app" in text


def test_a_given_configuration_is_kept() -> None:
    given_config = AppConfig(app="mine", env={"A": "1"})
    assert propose_app_config(PLAN, name="other", given=given_config) == given_config


def test_comments_cannot_break_out() -> None:
    plan = BuildPlan("python", "", ("e",), processes={"app": "x\napp = 'evil'\r\n[env]"})
    config, _ = read_app_config(write_app_config(AppConfig(app="a"), plan), name="roost.toml")
    assert config == AppConfig(app="a")


_WORD = st.text("abcdefgh", min_size=1, max_size=6)
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_CHECKS = st.builds(
    Check, port=st.integers(1, 65535), type=st.just("http"), interval=st.integers(1, 60).map(float), path=st.just("/x")
)
_SERVICES = st.builds(
    Service,
    internal_port=st.integers(1, 65535),
    ports=st.sampled_from([HTTP, (Port(25),), (), (Port(443, ("tls",), True),)]),
    autostop=st.sampled_from(["off", "stop", "suspend"]),
    autostart=st.booleans(),
    idle_timeout=st.integers(1, 1000).map(float),
    soft_limit=st.integers(0, 9),
    rate_limits=st.sampled_from([RateLimits(), RateLimits(RateLimit(0.5, 1), RateLimit(2.0, 9))]),
    concurrency_type=st.sampled_from(["requests", "connections"]),
)
_CONFIGS = st.builds(
    AppConfig,
    app=_WORD,
    kill_timeout=st.integers(0, 300).map(float),
    build=st.builds(BuildSettings, image=_WORD, args=st.dictionaries(_WORD, _TEXT, max_size=2)),
    deploy=st.builds(DeploySettings, release_command=_WORD, wait_timeout=st.integers(0, 1000).map(float)),
    env=st.dictionaries(_WORD, _TEXT, max_size=3),
    services=st.lists(st.tuples(st.just(()), _SERVICES), max_size=3).map(tuple),
    checks=st.dictionaries(_WORD, _CHECKS, max_size=2),
    guests=st.dictionaries(st.sampled_from(["", "a"]), st.builds(Guest, memory_mb=st.integers(16, 9999)), max_size=2),
    restarts=st.dictionaries(st.sampled_from(["", "a"]), st.builds(Restart, policy=st.just("always")), max_size=2),
    init=st.builds(Init, cmd=st.lists(_WORD, max_size=2).map(tuple)),
)


@given(_CONFIGS)
def test_what_is_written_reads_back_equal(config: AppConfig) -> None:
    assert app_config_from_json(app_config_to_json(config)) == config
    again, warnings = read_app_config(write_app_config(config), name="roost.toml")
    assert (again, warnings) == (config, [])


def test_each_process_group_has_its_machine() -> None:
    config, _ = read_app_config(
        '[env]\nA = "1"\n[http_service]\ninternal_port = 3000\n[[vm]]\nmemory = "1gb"\nprocesses = ["worker"]\n',
        name="roost.toml",
    )
    machines = machine_configs(config, image="roost/x:1", plan_processes=PLAN.processes, release=7)
    assert set(machines) == {"app", "worker"}
    web, worker = machines["app"], machines["worker"]
    assert web.init.cmd == ("/bin/sh", "-c", "exec gunicorn app:app")
    assert web.env == {"A": "1", "PORT": "3000"}
    assert [s.internal_port for s in web.services] == [3000]
    assert (worker.services, worker.env, worker.guest.memory_mb) == ((), {"A": "1"}, 1024)
    assert web.metadata["fly_process_group"] == "app"
    assert web.metadata["fly_release_version"] == "7"
    assert all(read_machine_config(machine_to_json(m)) == m for m in machines.values())


def test_an_image_starts_its_own_command() -> None:
    machines = machine_configs(AppConfig(), image="redis", plan_processes={}, release=1)
    assert machines["app"].init == Init()


def test_processes_of_the_configuration_replace_the_plans() -> None:
    machines = machine_configs(AppConfig(processes={"app": "x"}), image="i", plan_processes=PLAN.processes, release=1)
    assert set(machines) == {"app"}


def test_a_service_for_a_group_that_is_not_there_is_refused() -> None:
    config = AppConfig(services=((("web",), Service(80)),))
    with pytest.raises(BadInput, match="process group 'web'"):
        machine_configs(config, image="i", plan_processes=PLAN.processes, release=1)


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("echo ${PORT:-8}", "8"),
        ("A=1 sh -c 'echo $A'", "1"),
        ("cd / && pwd", "/"),
        ("echo a; echo b", "a\nb"),
        ('sh -c "echo x; echo y"', "x\ny"),
        ("exec echo z", "z"),
        ("echo one | cat", "one"),
        ("if true; then echo t; fi", "t"),
    ],
)
def test_commands_mean_what_they_mean_in_a_shell(command: str, output: str) -> None:
    done = subprocess.run(shell_argv(command), capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout.strip() == output


def test_a_simple_command_replaces_the_shell() -> None:
    done = subprocess.run(
        shell_argv("readlink /proc/self/exe"), capture_output=True, text=True, timeout=10, check=True, cwd="/"
    )
    assert "sh" not in done.stdout.rsplit("/", 1)[-1]
    assert shell_argv("gunicorn -b 0.0.0.0:${PORT:-80} a:b")[2].startswith("exec ")
