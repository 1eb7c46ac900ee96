"""Routes as Envoy's resources."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.edge.bootstrap import Caps, EdgeFiles, bootstrap, command
from roost.edge.contract import Endpoint, Route
from roost.edge.listener import (
    EdgePlace,
    activator_cluster,
    listeners,
    private_route_configuration,
    route_configuration,
)
from roost.edge.native_module import module_name
from roost.edge.protos import Cluster, RouteConfiguration, VirtualHost
from roost.edge.snapshot import app_cluster, app_of, app_virtual_host, check_route, cluster_name
from roost.edge.static_paths import AppStatics
from roost.model.errors import BadInput
from roost.model.serving_config import Static

ONE = Endpoint("m1", "10.1.0.2", 8080)
TWO = Endpoint("m2", "10.1.0.3", 8080)


def cluster(route: Route):  # type: ignore[no-untyped-def]
    message = Cluster()
    app_cluster(route).resource.Unpack(message)
    return message


def virtual_host(route: Route):  # type: ignore[no-untyped-def]
    message = VirtualHost()
    app_virtual_host(route).resource.Unpack(message)
    return message


def test_the_version_is_the_content() -> None:
    first = Route("a", ("a.localhost", "b.localhost"), (ONE, TWO))
    again = Route("a", ("b.localhost", "a.localhost"), (TWO, ONE))
    other = Route("a", ("a.localhost", "b.localhost"), (ONE,))
    assert app_cluster(first).version == app_cluster(again).version != app_cluster(other).version
    assert app_virtual_host(first).version == app_virtual_host(again).version == app_virtual_host(other).version


def test_each_route_says_how_long_a_stream_may_be_silent() -> None:
    """The connection manager says nothing, so a route without a word of its own would have no limit by oversight."""
    statics = AppStatics("a", "sha256:0", (Static("/srv", "/files"),))
    hosts = ("a.localhost", "a.example")
    entries = list(virtual_host(Route("a", hosts, (ONE,), statics=statics, force_https=True)).routes)
    for resource in (route_configuration(), private_route_configuration([])):
        message = RouteConfiguration()
        resource.resource.Unpack(message)
        entries += [entry for host in message.virtual_hosts for entry in host.routes]
    passing = [entry for entry in entries if entry.HasField("route")]
    assert len(passing) >= 7
    assert [entry.name for entry in passing if not entry.route.HasField("idle_timeout")] == []


def test_limits_and_timeouts_arrive() -> None:
    route = Route("a", ("a.localhost",), (ONE, TWO), hard_limit=25, idle_timeout=1.5)
    entry = virtual_host(route).routes[-1]
    assert b" 50 100 30000" in entry.typed_per_filter_config[f"{module_name()}-admission"].value
    action = entry.route
    assert action.HasField("timeout") and action.timeout.ToMilliseconds() == 0
    assert action.idle_timeout.ToMilliseconds() == 1500
    free = Route("a", ("a.localhost",), (ONE,))
    assert f"{module_name()}-admission" not in virtual_host(free).routes[-1].typed_per_filter_config
    limits = cluster(free).circuit_breakers.thresholds[0]
    assert min(limits.max_requests.value, limits.max_connections.value, limits.max_pending_requests.value) >= 1_000_000
    assert virtual_host(free).routes[-1].route.HasField("idle_timeout")


def test_names() -> None:
    assert app_of(cluster_name("shop")) == "shop"
    assert app_of("activator") == ""
    assert virtual_host(Route("a", ("a.localhost",), (ONE,))).routes[-1].name == "app/a"


@pytest.mark.parametrize(
    "route",
    [
        Route("a", (), (ONE,)),
        Route("a", ("a.localhost",), ()),
        Route("a", ("*.localhost",), (ONE,)),
        Route("a", ("A.localhost",), (ONE,)),
        Route("a", ("a.localhost:80",), (ONE,)),
        Route("a", ("ä.localhost",), (ONE,)),
        Route("a", ("",), (ONE,)),
        Route("a", ("a.localhost",), (Endpoint("m", "localhost", 80),)),
        Route("a", ("a.localhost",), (Endpoint("m", "10.1.0.2", 0),)),
    ],
)
def test_routes_that_envoy_would_refuse_are_refused(route: Route) -> None:
    with pytest.raises(BadInput):
        check_route(route)


def test_what_does_not_depend_on_apps_is_the_same_each_time() -> None:
    place = EdgePlace(8080, "local", Path("/run/roost/x/edge/activator.sock"))
    assert route_configuration().version == route_configuration().version
    assert activator_cluster(place).version == activator_cluster(place).version
    other = EdgePlace(8081, "local", place.activator)
    assert [each.version for each in listeners(place)] == [each.version for each in listeners(place)]
    assert listeners(place)[0].version != listeners(other)[0].version


def test_two_clouds_share_no_path_and_no_base_id() -> None:
    one, two = EdgeFiles(Path("/run/roost/aaaaaaaa/edge")), EdgeFiles(Path("/run/roost/bbbbbbbb/edge"))
    assert "bbbbbbbb" not in str(bootstrap("a", one, Caps())) and "aaaaaaaa" in str(bootstrap("a", one, Caps()))
    assert "--disable-hot-restart" in command(Path("/envoy"), two, Caps())
    assert len(str(one.activator)) < 100
