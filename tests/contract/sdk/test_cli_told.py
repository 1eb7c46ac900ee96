"""What the command line says while it waits, when a roll-out fails half-way, and of the app's own host name."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from roost.cli import waiting
from roost.model.certificate import Certificate
from roost.model.errors import Unprocessable
from roost.model.operation import Operation, OperationState
from roost.sdk.errors import Unreachable, error_from_answer
from roost.sdk.transport import _next_step

Run = Callable[..., Result]
AT = 1_700_000_000.0


@pytest.fixture
def shop(run: Run) -> str:
    assert run("apps", "create", "shop").exit_code == 0
    assert run("deploy", "-a", "shop", "--image", "debian:bookworm").exit_code == 0
    return "shop"


def failing(control: Any, monkeypatch: pytest.MonkeyPatch, state: OperationState, error: str, hint: str = "") -> None:
    """Let the next deploys end so."""
    begin = control.world.operation

    def operation(kind: str, app: str) -> Operation:
        made = replace(begin(kind, app), state=state, error=error, hint=hint)
        control.world.operations[made.id] = made
        return made

    monkeypatch.setattr(control.world, "operation", operation)


def test_a_secret_whose_roll_out_fails_is_said_to_stay(
    run: Run, control: Any, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(control, monkeypatch, OperationState.FAILED, "release v2 did not become healthy: it exited", "roost logs")
    done = run("secrets", "set", "-a", shop, "A=1")
    assert done.exit_code == 1
    assert control.world.secrets[shop] == {"A": "1"}
    error, hint = done.stderr.split("hint: ")
    assert "error: it is stored, but not rolled out: release v2 did not become healthy" in error
    for words in ("roost logs; ", "that run keep what they had", "roost deploy -a shop", "roost secrets unset"):
        assert words in hint
    several = run("secrets", "set", "-a", shop, "A=1", "B=2")
    assert (several.exit_code, "they are stored, but not rolled out: " in several.stderr) == (1, True)
    removed = run("secrets", "unset", "-a", shop, "A")
    assert (removed.exit_code, "it is removed, but that is not rolled out: " in removed.stderr) == (1, True)
    assert "roost secrets set" in removed.stderr.split("hint: ")[1]


def test_so_is_one_whose_roll_out_is_cancelled_or_refused(
    run: Run, control: Any, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(control, monkeypatch, OperationState.CANCELLED, "")
    cancelled = run("secrets", "set", "-a", shop, "A=1")
    assert (cancelled.exit_code, "it is stored, but not rolled out: the deploy was cancelled" in cancelled.stderr) == (
        1,
        True,
    )

    def refuse(app: str, request: object) -> Operation:
        raise Unprocessable("it can't be deployed", hint="mend it")

    monkeypatch.setattr(control.deploys, "start", refuse)
    refused = run("secrets", "import", "-a", shop, input="A=1\n")
    assert (refused.exit_code, "it is stored, but not rolled out: it can't be deployed" in refused.stderr) == (1, True)


def test_a_silent_second_is_explained(run: Run, control: Any, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "QUIET", 0.02)
    destroy = control.apps.destroy

    def slowly(name: str, *, force: bool) -> None:
        time.sleep(0.2)
        destroy(name, force=force)

    monkeypatch.setattr(control.apps, "destroy", slowly)
    done = run("apps", "destroy", shop, "--yes")
    assert (done.exit_code, done.stdout) == (0, "shop is destroyed.\n")
    assert done.stderr == "==> Destroying shop: its machines are stopped first\n"


def test_who_interrupts_a_wait_is_told_that_the_cloud_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), waiting.waiting("Doing it"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "\nNo longer waiting; the cloud may go on with it.\n"
    with waiting.waiting("Doing it"):
        pass
    assert capsys.readouterr().err == ""


def test_the_apps_name_in_the_clouds_domain_is_listed_as_json_too(
    run: Run, control: Any, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads(run("certs", "list", "-a", shop, "--json").stdout) == []
    assert run("certs", "add", "www.shop.example", "-a", shop).exit_code == 0
    found = control.certificates.get

    def get(app: str, hostname: str) -> Certificate:
        if hostname == "shop.roost.test":
            return Certificate(app, hostname, True, None, None, 0.0, AT, AT)
        return found(app, hostname)  # type: ignore[no-any-return]

    monkeypatch.setattr(control.certificates, "get", get)
    own, www = json.loads(run("certs", "list", "-a", shop, "--json").stdout)
    assert (own["hostname"], own["own_authority"], www["hostname"]) == ("shop.roost.test", False, "www.shop.example")
    assert own.keys() - www.keys() == {"own_authority"}
    assert not www.keys() - own.keys()
    filtered = json.loads(run("certs", "list", "-a", shop, "--filter", "www", "--json").stdout)
    assert [row["hostname"] for row in filtered] == ["www.shop.example"]


def test_a_secret_that_is_not_there_is_not_removed(run: Run, control: Any, shop: str) -> None:
    before = len(control.world.deploys)
    done = run("secrets", "unset", "-a", shop, "NONE")
    assert (done.exit_code, f"{shop} has no secret NONE" in done.stderr) == (3, True)
    assert len(control.world.deploys) == before
    assert run("secrets", "set", "-a", shop, "A").stderr.startswith("error: a secret must be written KEY=VALUE")


def test_nothing_to_show_is_said(run: Run, shop: str, control: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = run("logs", "-a", shop, "--http", "--status", "9xx")
    assert (wrong.exit_code, "404 or 5xx" in wrong.stderr) == (2, True)
    missing = run("logs", "-a", shop, "--http", "--path", "/nowhere")
    assert (missing.exit_code, missing.stdout, missing.stderr) == (0, "", "There are no such requests.\n")


def test_a_deploy_to_no_app_names_launch(run: Run) -> None:
    done = run("deploy", "-a", "none", "--image", "debian")
    assert (done.exit_code, "roost launch . makes it" in done.stderr) == (3, True)


def test_a_second_deploy_uploads_nothing(run: Run, control: Any, shop: str, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text("print()")
    first = control.world.operation("deploy", shop, OperationState.RUNNING)
    done = run("deploy", "src", "-a", shop)
    assert (done.exit_code, f"is already under way ({first.id})" in done.stderr) == (1, True)
    assert "Uploading" not in done.stderr


def test_only_sizes_that_there_are(run: Run, shop: str) -> None:
    assert run("scale", "vm", "shared-cpu-99x", "-a", shop).exit_code == 2


def test_a_launch_that_fails_says_that_the_app_stays(
    run: Run, control: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text("print()")
    failing(control, monkeypatch, OperationState.FAILED, "it exited")
    done = run("launch", "src", "--name", "other", "--yes")
    assert (done.exit_code, "roost deploy src -a other tries again" in done.stderr) == (1, True)


def test_ctrl_c_has_a_word(run: Run, shop: str, control: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("roost.sdk.apps.Apps.list", interrupted)
    done = run("apps", "list")
    assert (done.exit_code, done.stderr) == (130, "interrupted\n")


def test_what_is_no_api_is_named(run: Run) -> None:
    edge = {"roost-error": "no_such_app"}
    error = error_from_answer(404, b'{"error": "There is no app at x."}', edge, request="GET /v1/apps")
    assert isinstance(error, Unreachable)
    assert "not of its API" in error.message
    assert "Roost API" in error_from_answer(404, b"<html>", {}, request="GET /v1/apps").hint
    assert "SSL_CERT_FILE" in _next_step("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", True)
