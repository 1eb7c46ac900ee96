"""The command line against the real API: what it prints, what it sends, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from roost.sdk.apps import Apps

Run = Callable[..., Result]

CONFIG = {"image": "roost/base:bookworm"}


@pytest.fixture
def machine(run: Run) -> str:
    assert run("apps", "create", "shop").exit_code == 0
    made = run("machine", "run", "roost/base:bookworm", "-a", "shop", "--json", "--", "sleep", "60")
    assert made.exit_code == 0, made.output
    found = json.loads(made.stdout)
    assert found["config"]["init"] == {"cmd": ["sleep", "60"]}
    return str(found["id"])


def source(directory: Path) -> Path:
    directory.mkdir()
    (directory / "app.py").write_text("print()")
    (directory / "requirements.txt").write_text("flask\n")
    return directory


def test_apps(run: Run) -> None:
    assert run("apps", "create", "shop").exit_code == 0
    taken = run("apps", "create", "shop")
    assert (taken.exit_code, "error: " in taken.stderr, "hint: " in taken.stderr) == (1, True, True)
    assert [item["name"] for item in json.loads(run("apps", "list", "--json").stdout)] == ["shop"]
    assert "shop" in run("apps", "list").stdout
    assert run("apps", "create", "No Name").exit_code == 2
    refused = run("apps", "destroy", "shop")
    assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
    assert run("apps", "destroy", "shop", "--yes").exit_code == 0
    assert run("apps", "destroy", "shop", "--yes").exit_code == 3


def test_admin_commands(run: Run) -> None:
    assert "key 2 is in use" in run("admin", "rotate-keys").stdout
    assert json.loads(run("admin", "rotate-keys", "--json").stdout)["data_keys"] == 3


def test_secret_key_commands(run: Run, tmp_path: Path) -> None:
    assert run("apps", "create", "shop").exit_code == 0
    key = tmp_path / "key.b64"
    key.write_text("A" * 45 + "\n")
    assert run("secrets", "keys", "set", "a", "@" + str(key), "--type", "hs256", "-a", "shop").exit_code == 2
    key.write_text("A" * 43 + "=\n")
    for source in ("@" + str(key), "-"):
        done = run("secrets", "keys", "set", "a", source, "--type", "hs256", "-a", "shop", input=key.read_text())
        assert (done.exit_code, done.stdout) == (0, "set a (hs256)\n"), done.output
    for source in ("AAAA", "@" + str(tmp_path / "missing")):
        assert run("secrets", "keys", "set", "a", source, "--type", "hs256", "-a", "shop").exit_code == 2
    assert "public key" in run("secrets", "keys", "generate", "b", "--type", "nacl_sign", "-a", "shop").stdout
    assert run("secrets", "keys", "generate", "b", "--type", "nacl_sign", "-a", "shop").exit_code == 1
    assert [k["name"] for k in json.loads(run("secrets", "keys", "list", "-a", "shop", "--json").stdout)] == ["a", "b"]
    assert run("secrets", "keys", "remove", "a", "-a", "shop").exit_code == 2
    assert run("secrets", "keys", "remove", "a", "-a", "shop", "--yes").exit_code == 0
    assert "a" not in run("secrets", "keys", "list", "-a", "shop").stdout.split()


def test_the_authoritys_certificate_comes_with_a_word_on_who_needs_it(run: Run) -> None:
    told = run("certs", "ca")
    assert told.stdout == "-----BEGIN CERTIFICATE-----\n"  # and nothing else, since it goes into a file
    assert told.stderr == "note: nobody has to trust it\n"
    found = json.loads(run("certs", "ca", "--json").stdout)
    assert (found["needed"], found["why"]) == (False, "nobody has to trust it") and found["pem"].startswith("-----")


def test_certificate_commands(run: Run, tmp_path: Path) -> None:
    assert run("apps", "create", "shop").exit_code == 0
    added = run("certs", "add", "www.shop.example", "-a", "shop")
    assert added.exit_code == 0, added.output
    assert "www.shop.example. CNAME shop.roost.test." in added.stdout
    assert "_fly-ownership.www.shop.example. TXT" in added.stdout
    assert "www.shop.example" in run("certs", "list", "-a", "shop").stdout
    assert json.loads(run("certs", "list", "-a", "shop", "--filter", "none", "--json").stdout) == []
    assert json.loads(run("certs", "show", "www.shop.example", "-a", "shop", "--json").stdout)["acme_requested"]
    assert "issue" in run("certs", "check", "www.shop.example", "-a", "shop").stdout
    wildcard = run("certs", "add", "*.shop.example", "-a", "shop").stdout
    assert "_acme-challenge.shop.example. CNAME" in wildcard
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    files = ("--fullchain", str(junk), "--private-key", str(junk))
    assert run("certs", "import", "www.shop.example", *files, "-a", "shop").exit_code == 2
    assert (
        run(
            "certs", "import", "www.shop.example", "--fullchain", "missing", "--private-key", "m", "-a", "shop"
        ).exit_code
        == 2
    )
    assert run("certs", "remove", "www.shop.example", "-a", "shop").exit_code == 2
    assert run("certs", "remove", "www.shop.example", "-a", "shop", "--yes").exit_code == 0
    assert run("certs", "show", "www.shop.example", "-a", "shop").exit_code == 3
    assert run("certs", "add", "nodots", "-a", "shop").exit_code == 2


def test_volume_commands(run: Run, machine: str) -> None:
    made = run("volumes", "create", "data", "-a", "shop", "--size", "2", "--snapshot-retention", "9", "--json")
    volume = json.loads(made.stdout)["id"]
    assert volume in run("volumes", "list", "-a", "shop").stdout
    assert "kept 9 days" in run("volumes", "show", volume, "-a", "shop").stdout
    assert "4 GB" in run("volumes", "extend", volume, "-a", "shop", "--size", "4").stdout
    taken = json.loads(run("volumes", "snapshots", "create", volume, "-a", "shop", "--json").stdout)["id"]
    assert taken in run("volumes", "snapshots", "list", volume, "-a", "shop").stdout
    assert json.loads(run("volumes", "fork", volume, "-a", "shop", "--json").stdout)["name"] == "data"
    assert json.loads(run("volumes", "restore", taken, "-a", "shop", "--name", "old", "--json").stdout)["name"] == "old"
    assert run("volumes", "restore", taken, "-a", "shop").exit_code == 2
    assert run("volumes", "show", "data", "-a", "shop").exit_code == 2
    assert run("volumes", "destroy", volume, "-a", "shop").exit_code == 2
    assert run("volumes", "destroy", volume, "-a", "shop", "--yes").exit_code == 0
    assert run("volumes", "show", volume, "-a", "shop").exit_code == 3
    holder = run("machine", "run", "roost/base:bookworm", "-a", "shop", "--volume", "data:/data", "--json")
    assert json.loads(holder.stdout)["config"]["mounts"] == [{"name": "data", "path": "/data"}]
    assert run("machine", "run", "roost/base:bookworm", "-a", "shop", "--volume", "data").exit_code == 2


def test_machine_commands(run: Run, machine: str) -> None:
    listed = json.loads(run("machine", "list", "-a", "shop", "--json").stdout)
    assert [(item["id"], item["state"]) for item in listed] == [(machine, "started")]
    assert machine in run("machine", "list", "-a", "shop").stdout
    assert run("machine", "suspend", machine, "-a", "shop").exit_code == 0
    assert json.loads(run("machine", "list", "-a", "shop", "--json").stdout)[0]["state"] == "suspended"
    for verb in ("start", "restart", "stop", "start"):
        assert run("machine", verb, machine, "-a", "shop").exit_code == 0
    shown = run("machine", "status", machine, "-a", "shop")
    assert "roost/base:bookworm" in shown.stdout
    assert "passing" in shown.stdout
    assert run("machine", "destroy", machine, "-a", "shop").exit_code == 1
    assert run("machine", "destroy", machine, "-a", "shop", "--force").exit_code == 0
    assert run("machine", "start", machine, "-a", "shop").exit_code == 3
    assert run("machine", "start", "../../x", "-a", "shop").exit_code == 2


def test_changing_a_machine(run: Run, machine: str, control: Any) -> None:
    done = run("machine", "update", machine, "-a", "shop", "--env", "A=1", "--memory", "64", "--", "sleep", "9")
    assert done.exit_code == 0, done.output
    config = control.world.machines[machine].config
    assert (config.env["A"], config.guest.memory_mb, config.init.cmd) == ("1", 64, ("sleep", "9"))
    assert run("machine", "update", machine, "-a", "shop", "--env", "A=", "--skip-start").exit_code == 0
    assert "A" not in control.world.machines[machine].config.env
    assert control.world.machines[machine].state == "stopped"
    assert run("machine", "cordon", machine, "-a", "shop").output == f"{machine} is cordoned\n"
    assert "no request reaches it" in run("machine", "status", machine, "-a", "shop").output
    assert run("machine", "uncordon", machine, "-a", "shop").exit_code == 0
    assert "primary" in run("machine", "metadata", machine, "-a", "shop", "role=primary", "b=2").output
    assert json.loads(run("machine", "metadata", machine, "-a", "shop", "b=", "--json").output) == {"role": "primary"}


def test_exec_passes_the_words_on_and_ends_as_the_command(run: Run, machine: str, control: Any) -> None:
    result = run("machine", "exec", machine, "-a", "shop", "--", "echo", "-n", "a b")
    assert (result.exit_code, result.stdout) == (0, "echo -n a b\ufffd")
    assert control.world.asked[-1][1] == ("echo", "-n", "a b")
    assert run("machine", "exec", machine, "-a", "shop", "--", "sleep", "9").exit_code == 124


def test_secrets(run: Run, control: Any, tmp_path: Path) -> None:
    run("apps", "create", "shop")
    (tmp_path / "key").write_text("from file\n")
    assert (
        run("secrets", "set", "-a", "shop", "A=1", f"B=@{tmp_path / 'key'}", "C=-", input="from stdin\n").exit_code == 0
    )
    assert control.world.secrets["shop"] == {"A": "1", "B": "from file", "C": "from stdin"}
    assert run("secrets", "import", "-a", "shop", input="# x\nexport D='d d'\n").exit_code == 0
    assert run("secrets", "unset", "-a", "shop", "A", "B").exit_code == 0
    assert control.world.secrets["shop"] == {"C": "from stdin", "D": "d d"}
    listed = run("secrets", "list", "-a", "shop", "--json")
    assert [item["name"] for item in json.loads(listed.stdout)] == ["C", "D"]
    assert run("secrets", "set", "-a", "shop", "1X=hush").exit_code == 2
    assert "hush" not in run("secrets", "set", "-a", "shop", "1X=hush").output


def test_launch_writes_the_file_makes_the_app_and_prints_the_url_last(run: Run, control: Any, tmp_path: Path) -> None:
    directory = source(tmp_path / "My Shop")
    result = run("launch", str(directory), "--yes")
    assert result.exit_code == 0, result.output
    assert (directory / "roost.toml").read_text() == 'app = "my-shop"\n'
    assert list(control.world.apps) == ["my-shop"]
    assert control.world.deploys[0].config.app == "my-shop"
    assert "requirements.txt names flask" in result.stdout
    assert result.stdout.rstrip().splitlines()[-1] == "http://my-shop.roost.test:8080"
    assert "==> build" in result.stderr


def test_launch_again_is_refused_and_changes_nothing(run: Run, control: Any, tmp_path: Path) -> None:
    directory = source(tmp_path / "shop")
    assert run("launch", str(directory), "--name", "shop", "--yes").exit_code == 0
    (directory / "roost.toml").write_text('app = "shop"\n# mine\n')
    again = run("launch", str(directory), "--name", "shop", "--yes")
    assert again.exit_code == 1
    assert "roost deploy" in again.stderr
    assert "# mine" in (directory / "roost.toml").read_text()
    assert list(control.world.apps) == ["shop"]
    assert len(control.world.deploys) == 1


def test_launch_takes_back_what_it_made_when_the_deploy_cannot_begin(
    run: Run, control: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = source(tmp_path / "shop")

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(control.deploys, "start", None)  # roostd answers 500
        assert run("launch", str(directory), "--yes").exit_code == 1
    assert (control.world.apps, (directory / "roost.toml").exists()) == ({}, False)
    monkeypatch.setattr("roost.sdk.operations.Deploys.start", fail)
    assert run("launch", str(directory), "--yes").exit_code == 130
    assert (control.world.apps, (directory / "roost.toml").exists()) == ({}, False)


def test_launch_without_a_terminal_asks_for_yes(run: Run, control: Any, tmp_path: Path) -> None:
    directory = source(tmp_path / "shop")
    result = run("launch", str(directory))
    assert (result.exit_code, "--yes" in result.stderr) == (2, True)
    assert control.world.apps == {}
    assert not (directory / "roost.toml").exists()


def test_launch_no_deploy(run: Run, control: Any, tmp_path: Path) -> None:
    assert run("launch", str(source(tmp_path / "shop")), "--yes", "--no-deploy").exit_code == 0
    assert (list(control.world.apps), control.world.deploys) == (["shop"], [])


def test_launch_uses_fly_toml_as_it_is(run: Run, control: Any, tmp_path: Path) -> None:
    directory = source(tmp_path / "shop")
    text = 'app = "flown"\n[env]\nA = "1"\n[http_service]\ninternal_port = 3000\n'
    (directory / "fly.toml").write_text(text)
    assert run("launch", str(directory), "--yes").exit_code == 0
    assert (directory / "fly.toml").read_text() == text
    assert not (directory / "roost.toml").exists()
    assert list(control.world.apps) == ["flown"]
    assert control.world.deploys[0].config.env == {"A": "1"}


def test_deploy(run: Run, control: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = source(tmp_path / "shop")
    assert run("deploy", str(directory)).exit_code == 2
    assert run("deploy", str(directory), "-a", "shop").exit_code == 3
    run("apps", "create", "shop")
    monkeypatch.setenv("NPM_TOKEN", "hush")
    words = ("--build-arg", "V=1=2", "--build-secret", "NPM_TOKEN", "--no-cache")
    result = run("deploy", str(directory), "-a", "shop", *words)
    assert result.exit_code == 0, result.output
    sent = control.world.deploys[-1]
    assert (sent.build_args, sent.build_secrets, sent.no_cache) == ({"V": "1=2"}, {"NPM_TOKEN": "hush"}, True)
    assert "hush" not in result.output
    assert result.stdout.splitlines()[-1] == "http://shop.roost.test:8080"
    assert run("deploy", str(directory), "-a", "shop", "--image", "debian:bookworm").exit_code == 0
    assert (control.world.deploys[-1].source, control.world.deploys[-1].image) == ("", "debian:bookworm")
    detached = run("deploy", str(directory), "-a", "shop", "--detach")
    assert detached.stdout.strip() in control.world.operations


def test_releases_rollback_operations(run: Run, control: Any, tmp_path: Path) -> None:
    run("launch", str(source(tmp_path / "shop")), "--yes")
    assert json.loads(run("releases", "-a", "shop", "--json").stdout)[0]["version"] == 1
    assert "v1" in run("releases", "-a", "shop").stdout
    assert run("rollback", "v1", "-a", "shop").exit_code == 0
    assert control.world.asked[-1] == ("rollback", 1)
    assert run("rollback", "one", "-a", "shop").exit_code == 2
    listed = json.loads(run("operations", "list", "--json").stdout)
    assert {item["kind"] for item in listed} == {"deploy", "rollback"}
    shown = run("operations", "show", listed[0]["id"], "--logs")
    assert "    two\n    lines" in shown.stderr
    assert "succeeded" in shown.stdout


def test_logs_images_status(run: Run, control: Any) -> None:
    run("apps", "create", "shop")
    lines = run("logs", "-a", "shop", "--since", "10m", "--json").stdout.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["line 0", "line 1", "line 2"]
    assert "line 2" in run("logs", "-a", "shop").stdout
    assert run("logs", "-a", "shop", "--since", "soon").exit_code == 2
    assert "roost/base:bookworm" in run("image", "list").stdout
    assert run("image", "pull", "debian:bookworm").exit_code == 0
    assert run("image", "refresh", "roost/base:bookworm").exit_code == 0
    assert json.loads(run("image", "collect", "--json").stdout) == {"freed_bytes": 4096}
    found = json.loads(run("status", "--json").stdout)
    assert (found["roostd"]["pid"], found["envoy"]["pid"], found["http_port"]) == (11, 12, 8080)
    assert found["api_url"].startswith("http://127.0.0.1:")
    assert "pid 11" in run("status").stdout
    assert "nothing was deployed yet" in run("status", "-a", "shop").stdout
    assert json.loads(run("status", "-a", "shop", "--json").stdout)["state"] == "empty"
    assert run("open", "-a", "shop", "--print").stdout == "http://shop.roost.test:8080\n"


def test_login_stores_the_token_for_the_owner_only(run: Run, address: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("ROOST_TOKEN")
    assert run("apps", "list").exit_code == 4
    assert run("login", address, input="wrong\n").exit_code == 4
    assert run("login", address, input="admin-token-of-the-test\n").exit_code == 0
    path = tmp_path / "config" / "roost" / "credentials.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert run("apps", "list").exit_code == 0
    assert "clear text" in run("login", "http://cloud.example", input="x\n").stderr
    assert run("logout").exit_code == 0
    assert run("apps", "list").exit_code == 4


def test_an_app_whose_making_was_interrupted_is_taken_back_and_an_older_one_never(
    run: Run, control: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = source(tmp_path / "shop")
    create = Apps.create

    def interrupted(self: Apps, name: str) -> None:
        create(self, name)
        raise KeyboardInterrupt

    monkeypatch.setattr(Apps, "create", interrupted)
    assert run("launch", str(directory), "--yes").exit_code == 130
    assert control.world.apps == {}
    control.apps.create("shop")
    assert run("launch", str(directory), "--yes").exit_code == 1
    assert list(control.world.apps) == ["shop"]


def test_machines_that_run_at_times(run: Run) -> None:
    assert run("apps", "create", "shop").exit_code == 0
    words = ("--schedule", "daily", "--timezone", "Asia/Tokyo", "--json")
    made = json.loads(run("machine", "run", "roost/base:bookworm", "-a", "shop", *words, "--", "true").stdout)
    assert (made["config"]["schedule"], made["config"]["schedule_timezone"]) == ("daily", "Asia/Tokyo")
    assert "daily (Asia/Tokyo)" in run("machine", "status", made["id"], "-a", "shop").stdout
    assert "STATE" in run("machine", "runs", made["id"], "-a", "shop").stdout
    assert json.loads(run("machine", "runs", made["id"], "-a", "shop", "--json").stdout) == []
    changed = run("machine", "update", made["id"], "-a", "shop", "--schedule", "hourly", "--json")
    assert json.loads(changed.stdout)["config"]["schedule"] == "hourly"
    never = run("machine", "update", made["id"], "-a", "shop", "--schedule", "", "--json")
    assert "schedule" not in json.loads(never.stdout)["config"]
    bad = run("machine", "run", "roost/base:bookworm", "-a", "shop", "--schedule", "at noon")
    assert (bad.exit_code, "config.schedule" in bad.stderr) == (2, True)
    standby = run("machine", "run", "x", "-a", "shop", "--standby-for", f"{made['id']}, {'0' * 14}", "--json")
    assert json.loads(standby.stdout)["config"]["standbys"] == [made["id"], "0" * 14]
