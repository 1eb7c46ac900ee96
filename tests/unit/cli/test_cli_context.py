from __future__ import annotations

import json
from pathlib import Path

import pytest

from roost.cli import context
from roost.cli.exits import NotLoggedIn
from roost.model import cloud
from roost.model.errors import BadInput


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROOST_HOME", "ROOST_API_URL", "ROOST_TOKEN", "ROOST_APP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(context, "DEFAULT_HOME", tmp_path / "default")
    monkeypatch.chdir(tmp_path)


def make_cloud(home: Path, port: int, token: str = "local") -> Path:
    (home / "keys").mkdir(parents=True)
    (home / "cloud.json").write_text(json.dumps({"id": "0011aabb", "api_port": port}))
    (home / "keys" / "cli.token").write_text(token + "\n")
    return home


def test_nothing_is_known(tmp_path: Path) -> None:
    with pytest.raises(NotLoggedIn) as error:
        context.credentials()
    assert "roost login" in error.value.hint


def test_the_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context.store(context.Credentials("http://stored", "s"))
    assert context.credentials() == context.Credentials("http://stored", "s")
    make_cloud(tmp_path / "default", 1)
    assert context.credentials() == context.Credentials("http://127.0.0.1:1", "local")
    make_cloud(tmp_path / "home", 2, "mine")
    context.set_home(Path("home"))
    assert context.credentials() == context.Credentials("http://127.0.0.1:2", "mine")
    monkeypatch.setenv("ROOST_TOKEN", "t")
    assert context.credentials().token == "t"
    monkeypatch.setenv("ROOST_API_URL", "http://url")
    assert context.credentials() == context.Credentials("http://url", "t")


def test_a_home_that_was_named_is_never_replaced_by_another_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.store(context.Credentials("http://stored", "s"))
    monkeypatch.setenv("ROOST_HOME", str(tmp_path / "none"))
    with pytest.raises(NotLoggedIn, match="none"):
        context.credentials()


def test_a_token_is_not_sent_to_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    context.store(context.Credentials("https://mine", "s"))
    monkeypatch.setenv("ROOST_API_URL", "https://other")
    assert context.credentials().token == ""


def test_a_restarting_roostd_of_this_server_is_waited_for_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(cloud, "RUN", run)
    make_cloud(tmp_path / "default", 1)
    assert not context._own_cloud_is_up("http://127.0.0.1:1"), "it is down: waiting is in vain"
    (run / "0011aabb").mkdir(parents=True)
    assert context._own_cloud_is_up("http://127.0.0.1:1")
    assert not context._own_cloud_is_up("http://127.0.0.1:2")
    assert not context._own_cloud_is_up("https://cloud.example")


def test_damaged_files_are_told(tmp_path: Path) -> None:
    make_cloud(tmp_path / "default", 1)
    (tmp_path / "default" / "cloud.json").write_text("{")
    with pytest.raises(BadInput, match="damaged"):
        context.cloud_file()
    (tmp_path / "default" / "cloud.json").unlink()
    path = context.store(context.Credentials("http://a", "b"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["credentials.json"]
    path.write_text("[]")
    with pytest.raises(NotLoggedIn):
        context.credentials()


def test_which_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="which app"):
        context.app_name("")
    (tmp_path / "fly.toml").write_text('app = "flown"\n')
    assert context.app_name("") == "flown"
    (tmp_path / "roost.toml").write_text('app = "roosted"\n')
    assert context.app_name("") == "roosted"
    monkeypatch.setenv("ROOST_APP", "env")
    assert context.app_name("") == "env"
    assert context.app_name("flag") == "flag"
    with pytest.raises(BadInput):
        context.app_name("../x")
    monkeypatch.delenv("ROOST_APP")
    (tmp_path / "roost.toml").write_text("app = \n")
    with pytest.raises(BadInput, match=r"roost\.toml"):
        context.app_name("")
