from __future__ import annotations

from pathlib import Path

import pytest

from roost.build.contract import RegistrySettings
from roost.build.registry import explain_failure, pull_command
from roost.model.errors import HostFailure, NotFound
from roost.model.image import parse_image_ref

LAYOUT = Path("/x/layout")


def test_the_command_names_platform_mirror_auth_file_and_destination():
    settings = RegistrySettings(
        auth_file=Path("/k/auth.json"),
        mirrors={"docker.io": "mirror.lan:5000"},
        insecure=frozenset({"mirror.lan:5000"}),
    )
    command = pull_command(parse_image_ref("nginx:1"), LAYOUT, settings)
    assert command[-2:] == ["docker://mirror.lan:5000/library/nginx:1", "oci:/x/layout:image"]
    assert {
        "--override-os=linux",
        "--override-arch=amd64",
        "--src-authfile=/k/auth.json",
        "--src-tls-verify=false",
    } <= set(command)
    plain = pull_command(parse_image_ref("ghcr.io/a/b@sha256:" + "0" * 64), LAYOUT, RegistrySettings())
    assert plain[-2] == "docker://ghcr.io/a/b@sha256:" + "0" * 64
    assert not any("auth" in word or "tls" in word for word in plain)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ('msg="reading manifest 9 in x/y: manifest unknown: manifest unknown"', NotFound, "no image"),
        ("requested access to the resource is denied", HostFailure, "private"),
        ("unauthorized: authentication required", HostFailure, "private"),
        ("dial tcp: lookup nowhere: no such host", HostFailure, "could not be reached"),
        ("dial tcp 127.0.0.1:1: connect: connection refused", HostFailure, "could not be reached"),
        ("x509: certificate signed by unknown authority", HostFailure, "could not be reached"),
        ("no image found in manifest list for architecture amd64", NotFound, "linux/amd64"),
        ("something else", HostFailure, "something else"),
    ],
)
def test_failures_are_told_apart(said, kind, words):
    error = explain_failure(parse_image_ref("nginx:1"), [said], RegistrySettings())
    assert type(error) is kind
    assert words in error.message
