"""`roost config validate` and the server's deploy take and refuse the same, for many configurations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from roost.cli import config_file
from roost.control.contract import DeployRequest
from roost.control.deploys import Deploys
from roost.model.app_config_read import app_config_from_json, machine_configs, read_app_config
from roost.model.errors import BadInput
from roost.model.machine_config import machine_config_to_json, read_machine_config
from roost.plan.public_ports import PortRules
from roost.store.database import Database
from roost.store.public_ports import PublicPorts

NOTHING_BUT_THE_CLOUD = PortRules(8080, 8443, ranges=((1, 65535),), postgres=15432)
HANDLERS = ('["http"]', '["tls", "http"]', '["tls"]', '["pg_tls"]', '["proxy_proto"]', "[]")
OPTIONS = (
    "",
    "force_https = true",
    'tls_options = {alpn = ["h3"]}',
    'tls_options = {alpn = ["h2"], versions = ["TLSv1.3"]}',
    "http_options = {response = {pristine = true}}",
    'http_options = {headers_read_timeout = "5s"}',
    'http_options = {replay_cache = [{name = "a", ttl_seconds = 60}]}',
    'proxy_proto_options = {version = "v2"}',
)
PIECES = (
    '[processes]\nweb = "serve"\nworker = "work"',
    '[processes]\napp = "serve"',
    "[http_service]",
    '[http_service]\nprocesses = ["web"]',
    "[http_service.http_options.response]\npristine = true",
    "[http_service]\nforce_https = true\n[http_service.http_options.response]\npristine = true",
    '[http_service.tls_options]\nalpn = ["h3"]',
    "[http_service.rate_limit]\nper_second = 5",
    '[[services]]\n[[services.ports]]\nport = 5000\n[services.rate_limit]\nper_second = 5',
    "[[services]]\n[[services.ports]]\nstart_port = 5000\nend_port = 5099",
    "[[services]]\n[[services.ports]]\nstart_port = 6000\nend_port = 6050",
    '[[services]]\nprotocol = "udp"\n[[services.ports]]\nport = 5000',
    '[[services]]\nprocesses = ["worker"]\n[[services.ports]]\nport = 443\nhandlers = ["tls", "http"]',
    '[[mounts]]\nsource = "data"\ndestination = "/data"',
    '[[mounts]]\nsource = "more"\ndestination = "/more"',
    '[[mounts]]\nsource = "data"\ndestination = "/data"\nprocesses = ["worker"]\nauto_extend_size_threshold = 80\n'
    'auto_extend_size_increment = "1gb"\nauto_extend_size_limit = "5gb"',
    '[[files]]\nguest_path = "/data/x"\nraw_value = "eA=="',
    '[[files]]\nguest_path = "/data/x"\nsecret_name = "X"\nprocesses = ["worker"]',
    '[[schedules]]\nschedule = "hourly"',
    '[[schedules]]\nschedule = "hourly"\nprocesses = ["worker"]',
    '[[restart]]\npolicy = "always"',
    '[[restart]]\npolicy = "always"\nprocesses = ["worker"]',
    '[[vm]]\nsize = "shared-cpu-16x"\nmemory = "64gb"\npersist_rootfs = "always"',
    '[[vm]]\nsize = "performance-3x"\nmemory = "16mb"\nprocesses = ["web"]',
    '[build]\nimage = "debian:bookworm"',
    '[build]\nimage = "Debian Bookworm"',
    '[[machine_checks]]\ncommand = "true"\nimage = "no image"',
    '[[machine_checks]]\ncommand = "true"\nimage = "debian"',
    '[[statics]]\nguest_path = "/srv"\nurl_prefix = "/s"',
    '[[statics]]\nguest_path = "/other"\nurl_prefix = "/s"',
    '[machine_config]\ncontainers = [{name = "one"}, {name = "two", image = "debian"}]',
    '[machine_config]\ncontainers = [{name = "one"}, {name = "two", image = "not one"}]',
    '[machine_config]\nmounts = [{path = "/data", name = "data"}]\nfiles = [{guest_path = "/x", raw_value = "eA=="}]',
    '[machine_config.rootfs]\npersist = "always"',
    '[machine_config]\nskip_secrets = true',
    '[machine_config]\nservices = [{internal_port = 80, ports = [{port = 22, handlers = ["tls"]}]}]',
    '[machine_config.guest]\ncpus = 2\nmax_memory_mb = 100',
    '[metrics]\nport = 9090\npath = "/metrics"',
    '[checks.up]\ntype = "http"\nport = 80\nprotocol = "https"\nprocesses = ["web"]',
    '[checks.up]\ntype = "tcp"\nport = 80',
    '[experimental]\ncmd = ["a"]\nexec = ["b"]',
    'swap_size_mb = 512\nkill_signal = "SIGRTMIN"\nisolation = "gvisor"',
)  # fmt: skip
KNOWN = (  # each was taken by one and refused by the other
    'app = "a"\n[http_service.http_options.response]\npristine = true',
    'app = "a"\n[http_service.http_options]\nheaders_read_timeout = "5s"',
    'app = "a"\n[http_service.tls_options]\nalpn = ["h3"]',
    '[[mounts]]\nsource = "data"\ndestination = "/data"\n[[files]]\nguest_path = "/data/x"\nraw_value = "eA=="',
    '[build]\nimage = "Debian Bookworm"',
    '[[machine_checks]]\ncommand = "true"\nimage = "no image"',
    '[build]\nimage = "debian"\n[http_service]\nprocesses = ["web"]',
    '[[mounts]]\nsource = "a"\ndestination = "/a"\n[[mounts]]\nsource = "b"\ndestination = "/b"',
)


def texts() -> Iterator[str]:
    """Yield every kind of port with every option, and the other pieces, two at a time."""
    yield from KNOWN
    for port, handlers, option, protocol in product((80, 443, 5432, 5000), HANDLERS, OPTIONS, ("tcp", "udp")):
        yield (
            f'[[services]]\nprotocol = "{protocol}"\n[[services.ports]]\nport = {port}\n'
            f"handlers = {handlers}\n{option}\n"
        )
    for pair in combinations(sorted(PIECES, key=lambda piece: not piece.startswith("swap")), 2):
        yield "\n".join(pair)


class Server:
    """The real verb, as far as it looks at nothing but the configuration; what it would begin is kept."""

    def __init__(self, home: Path) -> None:
        self.begun: list[Any] = []
        core = SimpleNamespace(
            now=lambda: 1.0,
            store=SimpleNamespace(
                apps=SimpleNamespace(get=lambda app: None),
                releases=SimpleNamespace(list=lambda app: []),
                public_ports=PublicPorts(Database(f"sqlite:///{home / 'state.db'}")),
            ),
            edge=SimpleNamespace(status=lambda: SimpleNamespace(detail={"postgres": True})),
            host=SimpleNamespace(disk_usage=lambda: (0, 1 << 40)),
            port_rules=NOTHING_BUT_THE_CLOUD,
        )
        operations: Any = SimpleNamespace(
            define=lambda *_: None, start=lambda kind, app, arguments, secrets: self.begun.append(arguments)
        )
        other: Any = SimpleNamespace(path=lambda source: home)
        self.deploys = Deploys(core, operations, other, other, other, other)  # type: ignore[arg-type]

    def refuses(self, text: str) -> str:
        """Return why a deploy of the source with this file is refused, "" where it is begun and becomes machines."""
        try:
            config = read_app_config(text, name="roost.toml")[0]
            self.deploys.start("shop", DeployRequest(source="src", config=config))
            stored = app_config_from_json(self.begun[-1]["config"])
            named = [group for group in ("web", "worker") if f'"{group}"' in text]  # the source has what is spoken of
            found = {} if stored.build.image else dict.fromkeys(named, "serve")
            for made in machine_configs(stored, image="debian", plan_processes=found, release=1).values():
                read_machine_config(machine_config_to_json(made))
        except BadInput as error:
            return str(error.message)
        return ""


def validate_refuses(directory: Path, text: str) -> str:
    """Return why `roost config validate` refuses the file, "" where it does not."""
    (directory / "roost.toml").write_text(text)
    try:
        config_file.load(directory)
    except BadInput as error:
        return str(error.message)
    return ""


def test_both_refuse_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roost.control.public_ports.port_is_free", lambda protocol, port: True)
    monkeypatch.setattr(config_file, "note", lambda text: None)
    server, taken, differ = Server(tmp_path), 0, []
    for text in texts():
        here, there = validate_refuses(tmp_path, text), server.refuses(text)
        taken += not (here or there)
        if bool(here) != bool(there):
            differ.append((text, here, there))
    assert not differ, "\n\n".join(f"{text}\nvalidate: {here}\ndeploy: {there}" for text, here, there in differ[:5])
    assert taken > 300  # else the texts say nothing
    assert all(validate_refuses(tmp_path, text) for text in KNOWN)
