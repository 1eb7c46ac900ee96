"""Every example app is detected, built and started in a machine, and answers over its private address."""

from __future__ import annotations

import http.client
import secrets
import time
from pathlib import Path

import pytest

from roost.build.detect import DirectoryTree, detect
from roost.host.contract import MachineSpec
from roost.plan.addresses import ipv4_of, ipv6_of

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


def fetch(address: str, port: int, deadline: float) -> tuple[int, str]:
    """GET / as soon as the port accepts."""
    while True:
        connection = http.client.HTTPConnection(address, port, timeout=5)
        try:
            connection.request("GET", "/", headers={"Host": "example.localhost"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"{address}:{port} does not answer") from error
            time.sleep(0.05)
        finally:
            connection.close()


@pytest.mark.parametrize("name", NAMES)
def test_example_is_built_and_answers(workshop, name):
    plan = detect(DirectoryTree(EXAMPLES / name))
    began = time.monotonic()
    image = workshop.build(plan, EXAMPLES / name, app=name)
    print(f"{name}: built in {time.monotonic() - began:.1f} s, {image.size_bytes / 1e6:.0f} MB")
    slot = 78
    spec = MachineSpec(
        id=secrets.token_hex(7), app=name, slot=slot, network="test", ipv4=ipv4_of(workshop.cloud, slot),
        ipv6=ipv6_of(workshop.cloud, slot), hostname=name, layers=workshop.store.layer_paths(image),
        argv=image.config.entrypoint + image.config.cmd,
        env=dict(item.split("=", 1) for item in image.config.env) | {"SECRET_KEY": "test"},
        cwd=image.config.workdir, user=image.config.user,
    )  # fmt: skip
    try:
        workshop.host.start(spec)
        try:
            status, body = fetch(str(spec.ipv4), image.config.exposed_ports[0], time.monotonic() + 20)
        except AssertionError as error:
            log = "\n".join(line.text for line in workshop.host.logs(spec.id))
            raise AssertionError(f"{error}; its log:\n{log}") from None
        assert status == 200, (status, body)
        assert body.strip()
    finally:
        workshop.host.destroy(spec.id)
