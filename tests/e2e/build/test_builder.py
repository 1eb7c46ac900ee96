"""Builds in real machines: layers, what is taken up from before, failures, secrets."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from threading import Event

import pytest

from roost.model.build_plan import BuildPlan, Dependencies
from roost.model.errors import Conflict, Unprocessable

PLAN = BuildPlan(
    stack="python",
    framework="",
    evidence=(),
    dependencies=Dependencies(
        ("requirements.txt",), ("cp requirements.txt /opt/installed; date +%N >>/opt/installed",)
    ),
    processes={"app": "cat main.txt"},
    env={"GREETING": "hello"},
)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "requirements.txt").write_text("flask\n")
    (tmp_path / "main.txt").write_text("one")
    return tmp_path


def test_dependencies_are_installed_once_and_code_changes_start_no_machine(workshop, source):
    first = workshop.build(PLAN, source)
    assert workshop.run(first, "cat", "/app/main.txt", "/opt/installed").startswith("oneflask")
    installed = workshop.run(first, "cat", "/opt/installed")
    (source / "main.txt").write_text("two")
    began = time.monotonic()
    second = workshop.build(PLAN, source)
    took = time.monotonic() - began
    assert took < 1.0
    assert not any(line.startswith("$ ") for line in workshop.lines)
    assert workshop.run(second, "cat", "/app/main.txt", "/opt/installed") == "two" + installed
    assert second.digest != first.digest
    (source / "main.txt").write_text("one")
    assert workshop.build(PLAN, source).digest == first.digest
    (source / "requirements.txt").write_text("django\n")
    third = workshop.build(PLAN, source)
    assert workshop.run(third, "cat", "/opt/installed").startswith("django")


def test_no_cache_makes_the_dependencies_again(workshop, source):
    before = workshop.run(workshop.build(PLAN, source), "cat", "/opt/installed")
    fresh = workshop.build(PLAN, source, no_cache=True)
    after = workshop.run(fresh, "cat", "/opt/installed")
    assert after != before
    assert workshop.build(PLAN, source).digest == fresh.digest  # and the next build takes the newer one


def test_build_commands_run_on_the_source_with_caches_and_leave_no_litter(workshop, source):
    commands = (
        "echo built $GREETING $EXTRA >out.txt",
        "rm main.txt; touch /tmp/litter; echo x >>/root/.cache/tool/n; cat /root/.cache/tool/n",
    )
    plan = replace(PLAN, dependencies=None, build_commands=commands, build_caches=("/root/.cache/tool",))
    image = workshop.build(plan, source, build_args={"EXTRA": "1"})
    assert workshop.run(image, "sh", "-c", "cat out.txt; ls -A . /tmp /root").split() == [
        "built", "hello", "1", ".:", "out.txt", "requirements.txt", "/root:", ".bashrc", ".cache", ".profile", "/tmp:",
    ]  # fmt: skip
    assert workshop.lines.count("x") == 1
    workshop.build(plan, source, build_args={"EXTRA": "2"})
    assert workshop.lines.count("x") == 2  # the cache was there again
    assert image.config.cmd == ("/bin/sh", "-c", "exec cat main.txt")
    assert image.config.workdir == "/app"


def test_output_comes_while_the_command_runs_and_secrets_are_masked(workshop, source):
    plan = replace(PLAN, dependencies=None, build_commands=("echo first; sleep 2; echo token is $TOKEN",))
    seen = {}
    workshop.lines.clear()

    class Stamped(list):
        def append(self, line):
            seen[line] = time.monotonic()
            super().append(line)

    workshop.lines = Stamped()
    image = workshop.build(plan, source, secrets={"TOKEN": "s3cret-value"})
    assert seen["token is ***"] - seen["first"] > 1.5
    assert not any("s3cret" in line for line in workshop.lines)
    assert not any("s3cret" in item for item in image.config.env)
    assert "s3cret" not in workshop.run(
        image, "sh", "-c", "cat /proc/1/environ; grep -r s3cret /app /etc /root || true"
    )


def test_a_failing_command_says_what_and_why_and_leaves_no_machine(workshop, source):
    plan = replace(PLAN, dependencies=None, build_commands=("echo doing", "echo it is broken >&2; exit 3"))
    with pytest.raises(Unprocessable) as caught:
        workshop.build(plan, source)
    assert "exited with code 3" in caught.value.message
    assert "it is broken" in caught.value.message
    assert workshop.host.observe_all() == {}


def test_running_out_of_memory_is_named_as_the_cause(workshop, source):
    plan = replace(
        PLAN, dependencies=None, base="roost/python:bookworm", build_commands=("python3 -c 'x = bytearray(3 << 30)'",)
    )
    with pytest.raises(Unprocessable) as caught:
        workshop.build(plan, source)
    assert "memory" in caught.value.hint or "MB" in caught.value.hint


def test_cancelling_ends_the_machine_soon(workshop, source):
    plan = replace(PLAN, dependencies=None, build_commands=("echo started; sleep 100",))
    cancelled = Event()
    threading.Timer(1.5, cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(Conflict):
        workshop.build(plan, source, cancelled=cancelled)
    assert time.monotonic() - began < 6.0
    assert workshop.host.observe_all() == {}
