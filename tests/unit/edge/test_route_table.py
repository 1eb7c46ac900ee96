"""The table of routes: a host name has one owner, and a refused route changes nothing."""

from __future__ import annotations

import pytest

from roost.edge.contract import Endpoint, Route
from roost.edge.route_table import RouteTable
from roost.model.errors import BadInput, Conflict

AT = (Endpoint("m1", "10.0.0.2", 8080),)


def test_a_host_has_one_owner_and_goes_with_its_route() -> None:
    table = RouteTable()
    first = Route("a", ("a.localhost", "both.localhost"), AT)
    assert table.put(first) is None
    with pytest.raises(Conflict, match=r"both\.localhost already leads to 'a'"):
        table.put(Route("b", ("b.localhost", "both.localhost"), AT))
    assert list(table) == ["a"]
    assert dict(table.hosts) == {"a.localhost": "a", "both.localhost": "a"}
    second = Route("a", ("a.localhost",), AT)
    assert table.put(second) is first
    assert (table.holds(first), table.holds(second)) == (False, True)
    assert table.left_by(first) == ["both.localhost"]
    table.put(Route("b", ("both.localhost",), AT))
    assert table.left_by(first) == []
    assert table.remove("a") is second
    assert table.remove("a") is None
    assert dict(table.hosts) == {"both.localhost": "b"}
    assert (table.endpoints("a"), table.endpoints("b"), table.sessions("a")) == ((), AT, ())


def test_a_route_without_sense_leaves_the_old_one() -> None:
    table = RouteTable()
    old = Route("a", ("a.localhost",), AT)
    table.put(old)
    with pytest.raises(BadInput):
        table.put(Route("a", (), AT))
    assert table.holds(old)
    assert dict(table.hosts) == {"a.localhost": "a"}
