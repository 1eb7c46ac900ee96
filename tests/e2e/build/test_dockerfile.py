"""Dockerfiles, built by buildah in a machine."""

from __future__ import annotations

import time

import pytest

from roost.model.build_plan import BuildPlan
from roost.model.errors import Unprocessable

PLAN = BuildPlan(stack="dockerfile", framework="", evidence=(), dockerfile="Dockerfile")

DOCKERFILE = """
ARG BASE=roost/base:bookworm
FROM ${BASE} AS build
ARG WORD=none
WORKDIR /src
COPY . .
RUN echo "built $WORD" >word && rm /etc/motd && date +%N >stamp
RUN --mount=type=secret,id=TOKEN wc -c </run/secrets/TOKEN >size || echo none >size

FROM roost/base:bookworm
COPY --from=build /src /app
WORKDIR /app
USER nobody
EXPOSE 9000
ENV COLOR=blue
CMD ["cat", "word"]
"""


@pytest.fixture
def source(tmp_path):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "code.txt").write_text("one")
    (tmp_path / "ignored.txt").write_text("x")
    (tmp_path / ".dockerignore").write_text("ignored.txt\n")
    return tmp_path


def test_a_dockerfile_becomes_an_image_and_its_layers_are_cached(workshop, source):
    image = workshop.build(PLAN, source, app="df", build_args={"WORD": "yes"}, secrets={"TOKEN": "0123456789"})
    assert workshop.run(image, "sh", "-c", "cat word size code.txt; id -un; ls") == (
        "built yes\n10\noneroot\nDockerfile\ncode.txt\nsize\nstamp\nword\n"
    )
    assert (image.config.user, image.config.exposed_ports, image.config.workdir) == ("nobody", (9000,), "/app")
    assert image.config.cmd == ("cat", "word")
    assert {"COLOR=blue", "PORT=9000"} <= set(image.config.env)
    assert not any("0123456789" in line for line in workshop.lines)
    stamp = workshop.run(image, "cat", "stamp")
    began = time.monotonic()
    again = workshop.build(PLAN, source, app="df", build_args={"WORD": "yes"}, secrets={"TOKEN": "0123456789"})
    print(f"nothing changed: {time.monotonic() - began:.1f} s", *workshop.lines, sep="\n")
    assert workshop.run(again, "cat", "stamp") == stamp
    assert image.layers[0] == workshop.store.resolve(workshop.reference("roost/base:bookworm")).layers[0]


def test_a_failing_instruction_is_reported(workshop, source):
    (source / "Dockerfile").write_text("FROM roost/base:bookworm\nRUN echo on the way && exit 7\n")
    with pytest.raises(Unprocessable) as caught:
        workshop.build(PLAN, source, app="df2")
    assert "on the way" in caught.value.message
    assert workshop.host.observe_all() == {}


def test_debian_packages_can_be_installed(workshop, source):
    (source / "Dockerfile").write_text(
        "FROM roost/base:bookworm\nRUN apt-get update && apt-get install -y jq\nCMD jq\n"
    )
    image = workshop.build(PLAN, source, app="df3")
    assert workshop.run(image, "jq", "--version").startswith("jq-1.6")
