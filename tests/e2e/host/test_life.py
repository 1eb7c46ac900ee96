"""A machine's life on the real runtime: start, freeze, stop, destroy, and what is seen of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from tests.e2e.host.conftest import Site

from roost.host.contract import RuntimeState
from roost.model.errors import BadInput, FailedPrecondition, NotFound


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)


def test_start_stop_destroy(site: Site):
    spec = site.spec("sleep", "1000")
    seen = site.host.start(spec)
    assert seen.state is RuntimeState.RUNNING and seen.pid > 0
    assert site.host.start(spec).pid == seen.pid, "starting what runs changes nothing"
    assert site.agent().observe(spec.id) == seen, "another agent adopts it"
    began = time.monotonic()
    stopped = site.host.stop(spec.id, signal="SIGTERM", timeout=5)
    assert time.monotonic() - began < 3, "a first process without a handler is not waited for"
    assert stopped.state is RuntimeState.PREPARED
    assert stopped.last_exit is not None and stopped.last_exit.requested_stop
    assert site.host.stop(spec.id, signal="SIGTERM", timeout=5) == stopped, "stopping twice is once"
    site.host.destroy(spec.id)
    site.host.destroy(spec.id)
    assert site.host.observe(spec.id).state is RuntimeState.ABSENT
    assert spec.id not in site.host.observe_all()


def test_a_handler_decides_how_it_ends(site: Site):
    spec = site.spec("bash", "-c", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    site.host.start(spec)
    wait_for(lambda: any(line.text == "ready" for line in site.host.logs(spec.id)))
    seen = site.host.stop(spec.id, signal="SIGTERM", timeout=5)
    assert seen.last_exit is not None
    assert (seen.last_exit.exit_code, seen.last_exit.signal) == (7, 0)
    assert [line.text for line in site.host.logs(spec.id)] == ["ready", "bye"]
    site.host.destroy(spec.id)
    site.host.forget_log(spec.id)


def test_a_shell_in_front_passes_the_signal_on(site: Site):
    spec = site.spec(
        "sh", "-c", "bash -c 'trap \"echo child; exit 0\" TERM; echo ready; while :; do sleep 0.05; done'; true"
    )
    site.host.start(spec)
    wait_for(lambda: any(line.text == "ready" for line in site.host.logs(spec.id)))
    site.host.stop(spec.id, signal="SIGTERM", timeout=5)
    assert "child" in [line.text for line in site.host.logs(spec.id)]
    site.host.destroy(spec.id)


def test_one_that_ignores_the_signal_is_killed_at_the_deadline(site: Site):
    spec = site.spec("bash", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    site.host.start(spec)
    wait_for(lambda: any(line.text == "ready" for line in site.host.logs(spec.id)))
    began = time.monotonic()
    seen = site.host.stop(spec.id, signal="SIGTERM", timeout=1)
    assert 0.9 < time.monotonic() - began < 5
    assert seen.last_exit is not None and seen.last_exit.signal == signal.SIGKILL
    site.host.destroy(spec.id)


def test_an_exit_by_itself_is_seen_and_a_new_start_has_a_fresh_root(site: Site):
    spec = site.spec("sh", "-c", "ls /mark; touch /mark; exit 3")
    for _ in range(2):
        site.host.start(spec)
        wait_for(lambda: site.host.observe(spec.id).state is RuntimeState.PREPARED)
        seen = site.host.observe(spec.id)
        assert seen.last_exit is not None
        assert (seen.last_exit.exit_code, seen.last_exit.requested_stop) == (3, False)
        assert abs(seen.last_exit.at - time.time()) < 30
        with site.host.upper(spec.id) as upper:
            assert (upper / "mark").stat().st_uid == 0
    assert not any(line.text == "/mark" for line in site.host.logs(spec.id))
    site.host.stop(spec.id, signal="SIGTERM", timeout=1)
    with pytest.raises(NotFound), site.host.upper(spec.id):
        pass
    site.host.destroy(spec.id)


def test_freeze_stops_the_clock_and_thaw_lets_it_run_on(site: Site):
    spec = site.spec("bash", "-c", "while :; do echo tick; sleep 0.02; done")
    site.host.start(spec)
    wait_for(lambda: len(site.host.logs(spec.id)) > 3)
    site.host.freeze(spec.id)
    assert site.host.observe(spec.id).state is RuntimeState.FROZEN
    before = len(site.host.logs(spec.id))
    cpu = site.host.usage(spec.id).cpu_seconds
    time.sleep(0.3)
    assert len(site.host.logs(spec.id)) - before <= 1, "a line on its way may still come"
    assert site.host.usage(spec.id).cpu_seconds == cpu
    with pytest.raises(FailedPrecondition):
        site.host.execute(spec.id, ("true",))
    site.host.thaw(spec.id)
    wait_for(lambda: len(site.host.logs(spec.id)) > before + 3)
    site.host.freeze(spec.id)
    site.host.stop(spec.id, signal="SIGTERM", timeout=2)
    site.host.destroy(spec.id)


def test_memory_limit_kills_and_says_so(site: Site):
    eat = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    spec = site.spec("python3", "-c", eat, memory_mb=48)
    site.host.start(spec)
    wait_for(lambda: site.host.observe(spec.id).state is RuntimeState.PREPARED, 30)
    seen = site.host.observe(spec.id).last_exit
    assert seen is not None and seen.oom_killed and seen.signal == signal.SIGKILL
    site.host.destroy(spec.id)


def test_disk_limit_holds(site: Site):
    spec = site.spec("sh", "-c", "dd if=/dev/zero of=/big bs=1M count=1200 2>&1; stat -c %s /big", disk_gb=1)
    site.host.start(spec)
    wait_for(lambda: site.host.observe(spec.id).state is RuntimeState.PREPARED, 60)
    lines = [line.text for line in site.host.logs(spec.id)]
    assert any("No space left" in line for line in lines)
    assert int(lines[-1]) < 1 << 30
    site.host.destroy(spec.id)


def test_process_limit_holds(site: Site):
    spec = site.spec("bash", "-c", "for i in {1..40}; do sleep 60 & done 2>&1; echo survived; sleep 60", pids=20)
    site.host.start(spec)
    wait_for(lambda: site.host.usage(spec.id).pids >= 19)
    assert site.host.usage(spec.id).pids <= 20
    site.host.stop(spec.id, signal="SIGKILL", timeout=1)
    site.host.destroy(spec.id)


@pytest.mark.parametrize(
    ("argv", "changes"),
    [
        (("no-such-command",), {}),
        (("/etc/passwd",), {}),
        ((), {}),
        (("true",), {"user": "nobody-knows"}),
        (("true",), {"user": "root:no-such-group"}),
        (("true",), {"isolation": "vm"}),
    ],
)
def test_what_the_image_cannot_run_is_the_callers_fault(site: Site, argv: tuple[str, ...], changes: dict[str, str]):
    spec = site.spec(*argv, **changes)
    with pytest.raises(BadInput):
        site.host.start(spec)
    assert site.host.observe(spec.id).state is RuntimeState.ABSENT
    site.host.destroy(spec.id)


def test_the_user_is_resolved_in_the_image(site: Site):
    spec = site.spec("sh", "-c", "id -u; id -g; id -G; echo $HOME; grep CapEff /proc/self/status", user="www-data")
    site.host.start(spec)
    wait_for(lambda: site.host.observe(spec.id).state is RuntimeState.PREPARED)
    assert [line.text for line in site.host.logs(spec.id)] == [
        "33",
        "33",
        "33",
        "/var/www",
        "CapEff:\t0000000000000000",
    ]
    site.host.destroy(spec.id)


def test_machines_of_one_network_have_their_addresses_and_host_names(site: Site):
    spec = site.spec("sleep", "1000", hostname="web")
    site.host.start(spec)
    code = "import socket; print(socket.gethostname(), socket.gethostbyname('web'))"
    assert site.host.execute(spec.id, ("python3", "-c", code)).stdout.split() == [b"web", str(spec.ipv4).encode()]
    assert site.host.execute(spec.id, ("sh", "-c", "echo 1.2.3.4 more >> /etc/hosts")).exit_code == 0
    site.host.destroy(spec.id)


def test_forty_layers_in_order(site: Site, tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("layers")
    layers = []
    for number in range(40):
        layer = root / str(number)
        (layer / "deep").mkdir(parents=True)
        (layer / "deep" / "which").write_text(f"{number}\n")
        (layer / f"only-{number}").write_text("x")
        layers.append(layer)
    spec = site.spec("sh", "-c", "cat /deep/which; ls / | grep -c only-", layers=(site.base, *layers))
    site.host.start(spec)
    wait_for(lambda: site.host.observe(spec.id).state is RuntimeState.PREPARED)
    assert [line.text for line in site.host.logs(spec.id)] == ["39", "40"]
    site.host.destroy(spec.id)
