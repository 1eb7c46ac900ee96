"""README's promise on a minimal Debian 12 that has never seen Roost: no Python, no curl, no `ip`, nothing but git."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.setup.own_cloud import ROOT, free_port

DEADLINE = 600  # seconds; about 80 on an idle machine with two cores

COMMAND = """
look() { echo "LOOK $1"; ./roost status --json; echo "RELEASES $1"; ./roost releases -a demo --json; echo "END $1"; }
demo="scripts/demo --http-port HTTP --api-port API"
$demo && look 1 && SECONDS=0 && $demo && echo "again in $SECONDS s" && look 2 &&
./roost destroy-cloud --yes && test ! -e /var/lib/roost && test ! -e /run/roost
"""


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[str]:
    """Everything that was said in the fresh system; what it made is gone whatever happens."""
    command = COMMAND.replace("HTTP", str(free_port())).replace("API", str(free_port()))
    argv = [ROOT / "scripts" / "rehearse", command]
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
    )
    try:
        said, _ = process.communicate(timeout=DEADLINE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=120)
    assert process.returncode == 0, said
    yield said


def between(text: str, begin: str, end: str) -> str:
    return text.split(f"{begin}\n")[1].split(f"{end}\n")[0]


@pytest.mark.timeout(DEADLINE + 180)
def test_the_demo_answers(rehearsal: str) -> None:
    assert len(re.findall(r"^200 OK after", rehearsal, re.MULTILINE)) == 2, rehearsal


def test_the_second_time_takes_seconds_and_changes_nothing(rehearsal: str) -> None:
    seconds = re.search(r"^again in (\d+) s$", rehearsal, re.MULTILINE)
    assert seconds and int(seconds[1]) < 20
    assert rehearsal.count("setup: ready") == 1
    first, second = (json.loads(between(rehearsal, f"LOOK {n}", f"RELEASES {n}")) for n in "12")
    assert first["id"] == second["id"]
    assert first["roostd"] == second["roostd"]
    assert between(rehearsal, "RELEASES 1", "END 1") == between(rehearsal, "RELEASES 2", "END 2")


def test_nothing_of_it_is_left(rehearsal: str) -> None:
    cloud_id = json.loads(between(rehearsal, "LOOK 1", "RELEASES 1"))["id"]
    assert [link.name for link in Path("/sys/class/net").iterdir() if cloud_id in link.name] == []
    assert [path for path in Path("/sys/fs/cgroup").glob("*/*") if cloud_id in path.name] == []
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert cloud_id not in tables
    assert not list(Path("/var/tmp").glob("roost-rehearsal.*"))
