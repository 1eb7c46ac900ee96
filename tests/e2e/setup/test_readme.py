"""The README's launch is what really happens: it is run again and compared, but for what differs each time.

`ROOST_UPDATE_README=1 scripts/test tests/e2e/setup/test_readme.py` writes the README's transcript anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.e2e.setup.own_cloud import ROOT, OwnCloud

README = ROOT / "README.md"
MARKED = re.compile(r"(<!-- transcript:launch -->\n```console\n)(.*?)(```\n<!-- /transcript:launch -->)", re.DOTALL)
SHOWN_PORT = 8080  # a new cloud's

VARYING = (
    (r"sha256:[0-9a-f]+", "sha256:DIGEST"),
    (r"\b[0-9a-f]{14}\b", "MACHINE"),
    (r"\b\d+(\.\d+)? ?(ms|s|MB|kB)\b", "AMOUNT"),
    (r"==\S+", "==VERSION"),
    (r"\b3\.\d+\.\d+\b", "PYTHON"),
    (r"\b\d+ (packages|files) in\b", r"N \1 in"),
)


def normalised(text: str) -> list[str]:
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    lines = [line.rstrip() for line in text.splitlines()]
    return [line for line in lines if not line.strip().startswith("+ ")]  # the packages' packages come and go


def play(cloud: OwnCloud, directory: Path) -> str:
    """Launch the Flask example and call it; returns the terminal's content, with the usual port."""

    def run(*argv: str) -> str:
        done = subprocess.run(
            argv,
            cwd=directory,
            env={**os.environ, "ROOST_HOME": str(cloud.home), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    launched = run(str(ROOT / "roost"), "launch", "hello", "--yes")
    host = f"hello.localhost:{cloud.http_port}"
    answer = run("curl", "-sS", "--resolve", f"{host}:127.0.0.1", f"http://{host}/")
    shown = f"$ ./roost launch hello --yes\n{launched}$ curl http://{host}/\n{answer.rstrip()}\n"
    return shown.replace(f"localhost:{cloud.http_port}", f"localhost:{SHOWN_PORT}")


def test_the_readme_shows_what_happens(new_cloud: Callable[[], OwnCloud], tmp_path: Path) -> None:
    cloud = new_cloud()
    assert cloud.up().code == 0
    warmed = cloud.roost(
        "image", "pull", "roost/python:bookworm", timeout=600
    )  # made once per host, with lines of its own
    assert warmed.code == 0, warmed.err
    shutil.copytree(ROOT / "examples" / "flask-gunicorn", tmp_path / "hello")
    played = play(cloud, tmp_path)
    text = README.read_text()
    if os.environ.get("ROOST_UPDATE_README"):
        text = MARKED.sub(lambda match: match[1] + played + match[3], text)
        README.write_text(text)
    shown = MARKED.search(text)
    assert shown is not None, "the README has lost its markers"
    assert normalised(played) == normalised(shown[2])
