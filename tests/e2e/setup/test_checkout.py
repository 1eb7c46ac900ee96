"""A fresh clone becomes ready to run by itself, wherever it is and however it is called."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.usefixtures("package_index")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("with blank") / "a clone"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(place)], check=True, timeout=60)
    yield place


def run(*argv: str | Path, cwd: Path | str = "/", timeout: float = 600) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, env=dict(os.environ)
    )


def test_first_use_sets_up_and_runs(clone: Path, tmp_path: Path) -> None:
    link = tmp_path / "roost"
    link.symlink_to(clone / "roost")
    done = run(link, "version", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0." in done.stdout
    assert "setup:" not in done.stdout, "progress belongs on stderr"
    assert "setup: ready" in done.stderr
    again = run(link, "version", cwd=tmp_path)
    assert again.returncode == 0
    assert again.stderr == ""
    assert again.stdout == done.stdout


def test_set_up_again_is_instant(clone: Path) -> None:
    assert run(clone / "scripts" / "setup").returncode == 0
    times = []
    for _ in range(5):
        began = time.monotonic()
        assert run(clone / "scripts" / "setup").returncode == 0
        times.append(time.monotonic() - began)
    assert sorted(times)[2] < 0.5, times  # about 0.03 on an idle machine


def test_two_set_ups_at_once_are_one(clone: Path) -> None:
    assert run(clone / "scripts" / "setup").returncode == 0
    (clone / ".venv" / ".roost-setup").unlink()
    both = [
        subprocess.Popen([clone / "scripts" / "setup"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("ready" in text for text in outputs) == 1, outputs


def test_an_update_is_noticed(clone: Path) -> None:
    assert run(clone / "scripts" / "setup").returncode == 0
    listing = clone / "packaging" / "system-packages.txt"
    listing.write_text(listing.read_text() + "# a remark\n")
    done = run(clone / "roost", "version")
    assert done.returncode == 0, done.stderr
    assert "setup: ready" in done.stderr


def test_an_unknown_argument_is_refused(clone: Path) -> None:
    done = run(clone / "scripts" / "setup", "--everything")
    assert done.returncode == 2
    assert "usage" in done.stderr
