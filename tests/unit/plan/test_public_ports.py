"""Which ports an app may have, and where they lead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roost.model.errors import BadInput
from roost.model.machine_config import Port, Service
from roost.model.port_options import HttpOptions, TlsOptions
from roost.model.public_ports import BY_NAME, HTTPS, POSTGRES, is_shared
from roost.plan.public_ports import PortRules, check_ports, places_of, read_ranges

RULES = PortRules(8080, 8443, ((1024, 9999), (25, 25)), (8090,))


def _service(*ports: Port, protocol: str = "tcp") -> Service:
    return Service(5000, protocol, ports)


def test_the_edges_two_ports_are_shared() -> None:
    assert is_shared(_service(), Port(80, ("http",)))
    assert is_shared(_service(), Port(443, ("http", "tls")))
    assert not is_shared(_service(), Port(80, ()))
    assert not is_shared(_service(), Port(443, ("tls",)))
    assert not is_shared(_service(), Port(8443, ("tls", "http")))


def test_other_ports_are_the_apps_own() -> None:
    services = [_service(Port(80, ("http",)), Port(443, ("tls", "http"))), _service(Port(5432), Port(25))]
    assert check_ports(services, RULES) == (("tcp", 5432), ("tcp", 25))


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (_service(Port(80)), "port 80 .* is shared"),
        (_service(Port(8080)), "used by Roost itself"),
        (_service(Port(8090)), "used by Roost itself"),
        (_service(Port(22)), r"not one that apps of this cloud may have \(1024-9999, 25\)"),
        (_service(Port(5432), Port(5432)), "port 5432 .* is there twice"),
    ],
)
def test_ports_that_an_app_cannot_have(service: Service, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        check_ports([service], RULES)


@pytest.mark.parametrize(
    ("services", "places"),
    [
        ((), []),
        ((_service(),), ["http://shop.x"]),
        ((_service(Port(6667), Port(25)),), ["shop.x:25/tcp", "shop.x:6667/tcp"]),
        ((_service(Port(80, ("http",))), _service(Port(53), protocol="udp")), ["http://shop.x", "shop.x:53/udp"]),
        ((_service(Port(443)), _service(Port(5432, ("pg_tls",)))), ["shop.x:8443/tls", "shop.x:5433/postgres"]),
    ],
)
def test_where_an_app_answers(services: tuple[Service, ...], places: list[str]) -> None:
    rules = replace(RULES, postgres=5433)
    assert places_of(services, url="http://shop.x", host="shop.x", rules=rules) == places


def test_ranges() -> None:
    assert read_ranges("25, 1024-2000", "edge.service_ports") == ((25, 25), (1024, 2000))
    assert read_ranges("", "edge.service_ports") == ()
    for wrong in ("0", "70000", "5-2", "a", "1-2-3", 5432, ["25"], "1" * 30, "²"):
        with pytest.raises(BadInput, match=r"edge\.service_ports"):
            read_ranges(wrong, "edge.service_ports")


def test_options_without_effect_are_refused() -> None:
    with pytest.raises(BadInput, match=r"tls_options\.alpn: 'mqtt' is no protocol of HTTP"):
        check_ports([_service(Port(443, ("tls", "http"), tls=TlsOptions(("h2", "mqtt"))))], RULES)
    with pytest.raises(BadInput, match="headers_read_timeout can't be had"):
        check_ports([_service(Port(80, ("http",), http=HttpOptions(headers_timeout=5.0)))], RULES)
    with pytest.raises(BadInput, match=r"response\.pristine can't be had"):
        check_ports([_service(Port(80, ("http",), http=HttpOptions(pristine=True)))], RULES)
    assert check_ports([_service(Port(80, ("http",), True, http=HttpOptions(pristine=True)))], RULES) == ()
    with pytest.raises(BadInput, match="force_https works on"):
        check_ports([_service(Port(5432, (), force_https=True))], RULES)


def test_names_with_a_way_of_their_own_on_the_https_port() -> None:
    for port in (
        Port(443, ("tls", "http"), tls=TlsOptions((), ("TLSv1.3",))),
        Port(443, ("tls", "http"), http=HttpOptions(headers_timeout=5.0)),
        Port(443, ("tls", "http"), http=HttpOptions(pristine=True)),
    ):
        assert check_ports([_service(Port(80, ("http",)), port)], RULES) == (HTTPS,)
        assert is_shared(_service(), port)
        with pytest.raises(BadInput, match="need a cloud with a port for https"):
            check_ports([_service(port)], replace(RULES, https=0))


def test_tls_that_an_app_speaks_itself_goes_by_name() -> None:
    service = _service(Port(80, ("http",)), Port(443))
    with pytest.raises(BadInput, match="needs a cloud with a port for https"):
        check_ports([service], replace(RULES, https=0))
    assert check_ports([service], RULES) == (BY_NAME,)
    assert check_ports([_service(Port(443, ("proxy_proto",)))], RULES) == (BY_NAME,)
    with pytest.raises(BadInput, match="shared by all apps"):
        check_ports([_service(Port(443, ("tls",)))], RULES)


def test_apps_of_postgres_share_a_port_by_name() -> None:
    service = _service(Port(5432, ("pg_tls", "proxy_proto")))
    with pytest.raises(BadInput, match="needs a cloud with ports for https and for Postgres"):
        check_ports([service], RULES)
    rules = replace(RULES, postgres=15432)
    assert check_ports([service, _service(Port(6000))], rules) == (POSTGRES, ("tcp", 6000))
    with pytest.raises(BadInput, match=r"port 6432 .* share port 5432, by host name"):
        check_ports([_service(Port(6432, ("pg_tls",)))], rules)
