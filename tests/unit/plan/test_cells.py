from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from roost.plan.cells import common_cells, own_cell, shard, shards

ORGS = [f"org-{number}" for number in range(2000)]


def test_orgs_are_spread_evenly_over_cells_and_over_pairs() -> None:
    cells = common_cells(5)
    firsts = Counter(shard(org, cells)[0] for org in ORGS)
    assert all(300 < count < 500 for count in firsts.values()), firsts
    pairs = Counter(shard(org, cells) for org in ORGS)
    assert len(pairs) == 20
    assert all(60 < count < 145 for count in pairs.values()), pairs


def test_a_cell_more_moves_only_the_orgs_that_get_it() -> None:
    before, after = common_cells(4), common_cells(5)
    moved = 0
    for org in ORGS:
        old, new = shard(org, before), shard(org, after)
        if old != new:
            assert "4" in new
            moved += 1
    assert moved < len(ORGS) * 0.5  # two of five places


def test_an_org_with_its_own_cell_has_it_first_and_changes_nothing_for_others() -> None:
    cells = common_cells(3)
    assert shard("acme", cells, ["acme"]) == (own_cell("acme"), shard("acme", cells)[0])
    assert shard("other", cells, ["acme"]) == shard("other", cells)


@given(st.text(min_size=1, max_size=80), st.integers(1, 16), st.booleans())
def test_a_shard_is_one_of_those_that_the_front_knows(org: str, count: int, has_own: bool) -> None:
    cells, own = common_cells(count), [org] if has_own else []
    assert shard(org, cells, own) in shards(cells, own)
    assert len(set(shard(org, cells, own))) == len(shard(org, cells, own))
