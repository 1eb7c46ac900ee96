"""The verbs' plumbing: flags, exit codes, what `up` may change, what counts as healthy."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace

import pytest

from roost.daemon import checks, cloud_file, commands, down, faults, pid_file, processes, up
from roost.daemon.processes import Seen
from roost.daemon.settings import child_environment, read_settings
from roost.model.acme import with_email
from roost.model.cloud import Cloud
from roost.model.errors import BadInput, Conflict


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    cloud = cloud_file.new_cloud(place, cache=tmp_path / "cache", http_port=8080, api_port=4280, domain="x.test")
    cloud_file.save_cloud(cloud)
    return place


class Answer(http.server.BaseHTTPRequestHandler):
    body = b'{"ok": true}'

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


class OtherAnswer(Answer):
    body = b"<h1>It works!</h1>"


@pytest.fixture(params=[Answer])
def server(request: pytest.FixtureRequest) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), request.param) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_address[1]
        listening.shutdown()


def test_the_api_answers(server: int) -> None:
    assert processes.api_answers(server)


@pytest.mark.parametrize("server", [OtherAnswer], indirect=True)
def test_another_web_server_is_not_the_api(server: int) -> None:
    assert not processes.api_answers(server)


def test_an_api_on_our_port_without_our_roostd_is_not_health() -> None:
    assert not Seen(roostd=None, supervisor=1, envoy=1, api=True).healthy
    assert Seen(roostd=2, supervisor=None, envoy=None, api=True).healthy


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (Seen(1, 2, 3, api=True), "up"),
        (Seen(None, None, None, api=False), "down"),
        (Seen(None, None, 3, api=False), "degraded"),
        (Seen(1, 2, 3, api=False), "degraded"),
    ],
)
def test_status_in_one_word(home: Path, seen: Seen, state: str) -> None:
    status = processes.status(cloud_file.load_cloud(home), seen, version="1")
    assert status["state"] == state
    assert status["roostd"] == {"pid": seen.roostd, "running": seen.roostd is not None, "healthy": state == "up"}


def test_status_of_a_cloud_that_is_down(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["status", "--json", "--home", str(home)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["roostd"]["pid"] is None
    assert (shown["http_port"], shown["api_url"], shown["home"]) == (8080, "http://127.0.0.1:4280", str(home))


@pytest.mark.parametrize("verb", ["status", "down", "destroy-cloud"])
def test_no_cloud_there(tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main([verb, "--home", str(tmp_path)]) == 3
    assert "no cloud" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_destroying_without_yes_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["destroy-cloud", "--home", str(home)]) == 2
    assert "--yes" in capsys.readouterr().err
    assert (home / "cloud.json").exists()


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "８０"])
def test_a_bad_port_is_bad_usage(home: Path, port: str) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.parser().parse_args(["up", "--home", str(home), f"--http-port={port}"])
    assert ended.value.code == 2


def test_a_damaged_setting_is_bad_input(home: Path) -> None:
    (home / "config.toml").write_text("colour = 'red'")
    assert commands.main(["status", "--home", str(home)]) == 2


def test_flags_change_a_cloud_that_is_down(home: Path) -> None:
    wanted = up.identity(read_settings(home, {}), up.Wanted(http_port=81, domain="Y.test"))
    assert (wanted.http_port, wanted.api_port, wanted.domain) == (81, 4280, "y.test")
    assert cloud_file.load_cloud(home).http_port == 8080, "nothing is written before the host was checked"


def test_with_an_address_for_the_authority_a_new_cloud_has_the_ports_that_it_calls(tmp_path: Path) -> None:
    settings = replace(read_settings(tmp_path, {}), cache=tmp_path / "cache")
    public = up.identity(settings, up.Wanted(domain="apps.example.com", email="ops@example.com"))
    assert (public.http_port, public.https_port, public.email) == (80, 443, "ops@example.com")
    for unlike in (
        up.Wanted(domain="apps.example.com"),
        up.Wanted(domain="x.test", email="ops@example.com"),
        up.Wanted(email="ops@example.com"),
    ):
        assert up.identity(settings, unlike).http_port == 8080
    told = commands.summary(public, with_email(settings.acme, public.email), "9.9.9.9")
    assert "*.apps.example.com. A 9.9.9.9" in told and "https://APP.apps.example.com " in told
    with pytest.raises(BadInput, match="--email"):
        up.identity(settings, up.Wanted(email="nobody"))


def test_an_address_for_the_authority_stays_until_it_is_taken_back(home: Path) -> None:
    settings = read_settings(home, {})
    cloud_file.save_cloud(up.identity(settings, up.Wanted(domain="apps.example.com", email="ops@example.com")))
    kept = up.identity(settings, up.Wanted())
    assert (kept.email, kept.http_port) == ("ops@example.com", 8080), "the ports are those it had"
    told = commands.summary(kept, with_email(settings.acme, kept.email), "")
    assert "the public address of this server" in told and "--http-port 80" in told
    without = up.identity(settings, up.Wanted(email=""))
    assert without.email == "" and "--email" in commands.summary(without, settings.acme, "")


def test_the_network_is_a_new_clouds_to_choose(tmp_path: Path, home: Path) -> None:
    (tmp_path / "new").mkdir()
    settings = replace(read_settings(tmp_path / "new", {}), cache=tmp_path / "cache")
    free = str(up.identity(settings, up.Wanted()).ipv4_network)
    assert str(up.identity(settings, up.Wanted(network=free)).ipv4_network) == free
    settings = read_settings(home, {})
    has = str(cloud_file.load_cloud(home).ipv4_network)
    assert str(up.identity(settings, up.Wanted(network=has)).ipv4_network) == has
    with pytest.raises(Conflict, match="machines have their addresses"):
        up.identity(settings, up.Wanted(network="10.60.0.0/16"))


def test_the_apps_and_the_api_have_a_port_each(home: Path) -> None:
    with pytest.raises(BadInput, match="4280") as refused:
        up.identity(read_settings(home, {}), up.Wanted(http_port=4280))
    assert "--http-port" in refused.value.hint


def test_flags_do_not_change_a_cloud_that_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "look", lambda _cloud: Seen(1, 2, 3, api=True))
    settings = read_settings(home, {})
    assert up.identity(settings, up.Wanted(http_port=8080)).http_port == 8080
    with pytest.raises(Conflict, match="other ports"):
        up.identity(settings, up.Wanted(http_port=81))
    assert cloud_file.load_cloud(home).http_port == 8080


def test_the_admin_token_is_shown_once(home: Path) -> None:
    cloud = cloud_file.load_cloud(home)
    cloud.keys.mkdir()
    assert up.unseen_admin_token(cloud) == ""
    (cloud.keys / "admin.token.once").write_text("secret\n")
    assert up.unseen_admin_token(cloud) == "secret"
    up.forget_admin_token(cloud)
    assert up.unseen_admin_token(cloud) == ""


def test_a_users_token_does_not_reach_the_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOST_TOKEN", "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = child_environment(read_settings(home))
    assert "ROOST_TOKEN" not in environment
    assert environment["LANG"] == "C.UTF-8"
    assert environment["ROOST_HOME"] == str(home)


def test_a_taken_port_is_named_with_its_flag(server: int) -> None:
    with pytest.raises(Conflict, match=str(server)) as refused:
        checks.check_port_is_free(server, "the API")
    assert "--api-port" in refused.value.hint


def test_roostd_takes_its_port_before_it_starts_anything(server: int) -> None:
    from roost.daemon.api_server import bind_api

    with pytest.raises(Conflict, match=str(server)):
        bind_api(server)
    with bind_api(0) as bound:
        assert not processes.api_answers(bound.getsockname()[1], timeout=0.2), "nobody can connect to it yet"


def test_removing_a_home_keeps_settings_and_follows_no_link(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (home / "link").symlink_to(outside)
    (home / "log").mkdir()
    (home / "log" / "link").symlink_to(outside)
    (home / "config.toml").touch()
    down._remove_home(cloud_file.load_cloud(home))
    assert [path.name for path in home.iterdir()] == ["config.toml"]
    assert (outside / "kept").exists()


def test_two_at_once_wait_for_each_other(home: Path) -> None:
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait(5)
        with up.home_lock(home):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with up.home_lock(home):
        inside.set()
        thread.join(0.2)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_a_fault_point_fires_at_its_step_and_once(tmp_path: Path) -> None:
    file = tmp_path / "fault"
    file.write_text("b\n")
    child = os.fork()
    if child == 0:
        fault = faults.fault_points(file)
        fault("a")
        (tmp_path / "reached").touch()
        fault("b")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert (tmp_path / "reached").exists()
    faults.fault_points(file)("b")  # a second time nothing happens: this process lives on
    faults.fault_points(None)("b")


def test_last_lines_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert processes.last_lines(log) == []
    log.write_bytes(b"x" * 100_000 + b"\nbad \xff byte\nlast\n")
    assert processes.last_lines(log, 2) == ["bad \ufffd byte", "last"]


def test_envoys_own_pid_file_is_read(tmp_path: Path) -> None:
    from roost.edge.bootstrap import EdgeFiles
    from roost.edge.front_plan import FrontFiles

    cloud = Cloud("abcdef01", tmp_path, 1, 2, "localhost", IPv4Network("10.9.0.0/16"))
    assert processes.edge_pid_files(cloud)["envoy"] == EdgeFiles(cloud.run / "edge").pid
    assert processes.edge_pid_files(cloud)["front"] == FrontFiles(cloud.run / "edge" / "front").pid
    saved = {"pid": os.getpid(), "start": pid_file.start_time(os.getpid())}
    (tmp_path / "envoy.pid").write_text(json.dumps(saved))
    assert pid_file.read(tmp_path / "envoy.pid") == os.getpid()


def test_a_broken_config_is_named_and_hides_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.toml").write_text('[edge]\ncells = "x"\n')
    assert commands.main(["status", "--home", str(home)]) == 2
    shown = capsys.readouterr()
    assert "does not run" in shown.out
    assert "edge.cells" in shown.err
    monkeypatch.setattr(checks, "findings", lambda _settings: [])
    assert commands.main(["doctor", "--home", str(home)]) == 1
    assert f"mend {home / 'config.toml'}" in capsys.readouterr().out
    assert commands.main(["down", "--home", str(home)]) == 2
    assert f"see {home / 'config.toml'}" in capsys.readouterr().err
    (home / "config.toml").write_text("[edge]\ncells = 3\n")
    assert commands.main(["doctor", "--home", str(home)]) == 0


def test_a_full_disk_is_an_error_of_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device", "/run/roost/x/cloud.json")

    monkeypatch.setattr(processes, "look", full)
    assert commands.main(["status", "--home", str(home)]) == 1
    assert "error: No space left on device: /run/roost/x/cloud.json\nhint: " in capsys.readouterr().err


def test_what_is_wrong_with_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(**more: object) -> Seen:
        return Seen(**{"roostd": 7, "supervisor": 8, "envoy": 9, "api": True, **more})  # type: ignore[arg-type]

    assert checks.judge_roostd(seen()).status == "ok"
    assert "pid 7 does not answer" in checks.judge_roostd(seen(api=False)).detail
    assert "nothing starts it again" in checks.judge_roostd(seen(roostd=None, supervisor=None)).detail
    usage = {"free": 1 << 30}
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(total=1 << 32, used=0, **usage))
    assert checks.judge_run_directory(tmp_path).status == "ok"
    usage["free"] = 1 << 20
    assert checks.judge_run_directory(tmp_path).status == "fail"
