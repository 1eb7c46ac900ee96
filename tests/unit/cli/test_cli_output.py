from __future__ import annotations

from datetime import UTC, datetime

import pytest

from roost.cli import exits, output
from roost.cli.cloud import cloud_status, daemon_arguments, render_cloud
from roost.cli.logs import render
from roost.cli.plan_text import describe_creation, describe_plan, needs_warning
from roost.model import errors


def test_table_aligns_and_shows_empty_cells() -> None:
    assert output.table(("id", "state"), [("abc", "started"), ("x", None)]) == "ID   STATE\nabc  started\nx    -"


@pytest.mark.parametrize(
    "text",
    ["\x1b]0;title\x07x", "\x1b[2Jx", "\rx", "\x9bx", "\x1bcx", "\u202ex", "\x1b[31mx", "\x1b]8;;http://a\x1b\\x"],
)
def test_nothing_from_an_app_can_steer_the_terminal(text: str) -> None:
    assert output.printable(text) == "x"


def test_colours_are_kept_where_asked_and_end_with_the_line() -> None:
    assert output.printable("\x1b[31mred\x1b[2J", colours=True) == "\x1b[31mred\x1b[0m"
    assert output.printable("plain\tx", colours=True) == "plain\tx"
    assert render({"timestamp": "T", "machine": "m", "message": "\x1b[1mb\x07"}) == "T m \x1b[1mb\x1b[0m"


@pytest.mark.parametrize(
    ("second", "text"), [(0, "0s ago"), (59, "59s ago"), (60, "1m ago"), (3599, "59m ago"), (90_000, "1d ago")]
)
def test_ago(second: int, text: str) -> None:
    now = datetime(2026, 1, 3, 0, 0, tzinfo=UTC)
    then = datetime.fromtimestamp(now.timestamp() - second, UTC).isoformat().replace("+00:00", "Z")
    assert output.ago(then, now) == text
    assert output.ago("", now) == ""


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3_400_000, "3.4 MB"), (None, "")]
)
def test_size(count: object, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadInput("x"), 2),
        (errors.NotFound("x"), 3),
        (errors.Unauthorized("x"), 4),
        (errors.Forbidden("x"), 4),
        (exits.NotLoggedIn("x"), 4),
        (exits.RolledBack("x"), 5),
        (errors.TimedOut("x"), 124),
        (exits.Interrupted("x"), 130),
        (errors.NameTaken("x"), 1),
        (errors.HostFailure("x"), 1),
        (errors.RoostError("x"), 1),
    ],
)
def test_exit_codes(error: errors.RoostError, code: int) -> None:
    assert exits.exit_code(error) == code


def test_an_error_goes_to_stderr_with_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_error(errors.NotFound("no \x1b[2Japp\nlast line", hint="do this"))
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "error: no app\n  last line\nhint: do this\n")


def test_daemon_arguments() -> None:
    argv = daemon_arguments("up", {"home": "/x y", "http-port": 80, "api-port": None, "domain": "", "foreground": True})
    assert argv[1:] == ["-m", "roost.daemon", "up", "--home", "/x y", "--http-port", "80", "--foreground"]


def test_cloud_status_has_the_keys_scripts_read() -> None:
    answer = {
        "id": "ab",
        "pid": 7,
        "started_at": "T",
        "edge": {"pid": 9, "connected": False},
        "http_port": 80,
        "domain": "d",
    }
    found = cloud_status(answer, "http://127.0.0.1:1")
    assert found["roostd"]["pid"] == 7
    assert found["envoy"] == {"pid": 9, "connected": False, "running": True}
    assert (found["http_port"], found["api_url"]) == (80, "http://127.0.0.1:1")
    assert "not connected" in render_cloud(found)


def test_the_plan_in_words() -> None:
    plan = {
        "stack": "python",
        "framework": "flask",
        "evidence": ["requirements.txt names flask"],
        "dependencies": {"commands": ["uv pip install"]},
        "processes": {"app": "gunicorn app:app", "worker": "celery"},
        "release_command": "migrate",
        "port": 8080,
        "notes": ["gunicorn is added"],
        "needs": ["postgres"],
    }
    text = "\n".join(describe_plan(plan))
    for part in (
        "Python, flask",
        "names flask",
        "install    uv pip",
        "start      gunicorn",
        "start worker",
        "8080",
        "is added",
    ):
        assert part in text
    assert "DATABASE_URL" in needs_warning(plan)[0]
    config = {"http_service": {"auto_stop_machines": "suspend"}, "vm": [{"memory": "512mb", "cpus": 2}]}
    made = "\n".join(describe_creation("shop", "http://shop.d", config, config_file="roost.toml", writes=True))
    assert "1 machine of 512mb, 2 cpus, frozen when nobody calls" in made
    assert "roost.toml will be written" in made


def test_an_app_without_http_is_not_said_to_have_an_address_for_it() -> None:
    def said(**config: object) -> str:
        return describe_creation("shop", "http://shop.d", config, config_file="roost.toml", writes=True)[0]

    own: list[object] = [{"ports": [{"port": 6667}, {"start_port": 7000, "end_port": 7009}]}]
    assert said().endswith("shop, which no request reaches: there is no [http_service]")
    assert said(services=own).endswith("shop, on ports 6667, 7000-7009")
    assert said(http_service={}).endswith("shop, at http://shop.d")
    assert said(services=own, http_service={"internal_port": 80}).endswith("at http://shop.d, on ports 6667, 7000-7009")
    assert said(services=[{"ports": [{"port": 80, "handlers": ["http"]}]}]).endswith("shop, at http://shop.d")
