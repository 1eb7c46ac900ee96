"""`roost launch` of every example: detected, built, released, answering on its host name."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from tests.e2e.cloud.conftest import ROOT, RunningCloud, wait_until

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.usefixtures("package_index")
ALL = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", ALL)
def test_each_example_is_launched_and_answers(cloud: RunningCloud, tmp_path: Path, example: str) -> None:
    source = tmp_path / example
    shutil.copytree(EXAMPLES / example, source)
    name = f"x-{example}"
    try:
        done = cloud.roost("launch", source, "--name", name, "--yes", timeout=580)
        assert f"http://{name}.localhost:{cloud.http_port}" in done.stdout
        answer = cloud.get(name)
        assert answer.status_code == 200, done.stdout
        assert (source / "roost.toml").exists() or (source / "fly.toml").exists()
    finally:
        cloud.roost("apps", "destroy", name, "--yes", check=False)


def flask(place: Path, text: str, *, extra: str = "") -> Path:
    place.mkdir(exist_ok=True)
    (place / "requirements.txt").write_text("flask\ngunicorn\n")
    (place / "web.py").write_text(
        f"from flask import Flask\n{extra}\nsite = Flask(__name__)\n\n"
        f"@site.get('/')\ndef home():\n    return {text!r}\n"
    )
    return place


@pytest.mark.timeout(600)
def test_deploy_rollback_and_a_release_that_fails(cloud: RunningCloud, tmp_path: Path) -> None:
    name, source = "steps", flask(tmp_path / "steps", "one")
    try:
        cloud.roost("launch", source, "--name", name, "--yes", timeout=400)
        assert cloud.get(name).text == "one"

        flask(source, "two")
        began = time.monotonic()
        cloud.roost("deploy", source)
        took = time.monotonic() - began
        assert cloud.get(name).text == "two"
        assert took < 30, "a code-only change does not install dependencies again"

        flask(source, "three", extra="import sys; print('bye now', flush=True); sys.exit(3)")
        failed = cloud.roost("deploy", source, check=False)
        assert failed.returncode == 5
        assert "bye now" in failed.stdout + failed.stderr
        assert cloud.get(name).text == "two"  # the release before serves on

        cloud.roost("rollback", "-a", name)
        assert cloud.get(name).text == "one"
        releases = cloud.json("releases", "-a", name)
        assert [(r["version"], r["status"]) for r in releases] == [
            (4, "complete"),
            (3, "failed"),
            (2, "complete"),
            (1, "complete"),
        ]
    finally:
        cloud.roost("apps", "destroy", name, "--yes", check=False)


@pytest.mark.timeout(600)
def test_secrets_reach_the_app_and_never_the_listing(cloud: RunningCloud, tmp_path: Path) -> None:
    name = "keeper"
    source = flask(tmp_path / "keeper", "x")
    (source / "web.py").write_text(
        "import os\nfrom flask import Flask\nsite = Flask(__name__)\n\n"
        "@site.get('/')\ndef home():\n    return os.environ.get('GREETING', 'none')\n"
    )
    try:
        cloud.roost("launch", source, "--name", name, "--yes", timeout=400)
        assert cloud.get(name).text == "none"
        cloud.roost("secrets", "set", "GREETING=hush-hush", "-a", name)
        wait_until(lambda: cloud.get(name).text == "hush-hush", "the secret is in the app's environment")
        assert "hush-hush" not in cloud.roost("secrets", "list", "-a", name, "--json").stdout
        database = b"".join(path.read_bytes() for path in cloud.home.glob("state.db*"))
        assert b"hush-hush" not in database
    finally:
        cloud.roost("apps", "destroy", name, "--yes", check=False)
