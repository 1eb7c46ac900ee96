"""Every attack of the table, carried out under both runtimes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cloud.conftest import ROOT
from tests.e2e.cloud.programs import cloud_id
from tests.e2e.isolation.attacks import ATTACKS, Attack
from tests.e2e.isolation.conftest import ISOLATIONS, PROGRAMS, Arena, host_state

pytestmark = pytest.mark.skipif(
    __import__("os").uname().machine != "x86_64", reason="the programs name x86_64's system calls"
)


@pytest.fixture(scope="module")
def outcomes(arena: Arena) -> Iterator[dict[str, dict[str, str]]]:
    before = host_state()
    seen = {isolation: arena.carry_out(isolation) for isolation in ISOLATIONS}
    yield seen
    assert host_state() == before, "the host is as it was"


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_ends_as_expected(outcomes: dict[str, dict[str, str]], attack: Attack, isolation: str) -> None:
    assert outcomes[isolation][attack.name] in attack.expected(isolation), attack.what


def test_the_table_is_whole() -> None:
    """No attack is in the sources only, and docs/isolation.md shows the same table."""
    in_sources = set()
    for source in set(PROGRAMS.glob("*.c")) - {PROGRAMS / "ordinary.c"}:
        in_sources |= set(re.findall(r'\{"(\w+)", \w+\}', source.read_text()))
    assert in_sources == {attack.name for attack in ATTACKS}
    text = (ROOT / "docs/isolation.md").read_text()
    rows = re.findall(r"^\| (?!what|a program)(.+?) \| `(\S+)` \| `(\S+)` \|$", text, re.MULTILINE)
    assert rows == [(a.what, a.crun.replace("|", "/"), a.gvisor.replace("|", "/")) for a in ATTACKS]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_the_hosts_side_of_it(arena: Arena, outcomes: dict[str, dict[str, str]], isolation: str) -> None:
    """However it looks inside: no process of a machine has an id, a score or a priority of the host's."""
    groups = [Path("/sys/fs/cgroup/freezer"), Path("/sys/fs/cgroup")]
    place = next(
        g / f"roost-{cloud_id(arena.cloud)}" for g in groups if (g / f"roost-{cloud_id(arena.cloud)}").is_dir()
    )
    machine = next(m for m in arena.made if arena.get(m)["config"].get("isolation", "crun") == isolation)
    pids = [int(word) for word in (place / machine / "cgroup.procs").read_text().split()]
    assert pids
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        for kind in ("Uid", "Gid"):
            found = re.search(rf"^{kind}:\s+(.*)$", status, re.MULTILINE)
            assert found and all(int(number) >= 1_000_000 for number in found[1].split()), (isolation, status)
        assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) >= 500
        assert int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16]) >= 0, "niceness"
