from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.build.dockerfile_parse import expand, instructions, parse_dockerfile
from roost.model.errors import BadInput


def test_images_stages_and_the_last_stages_port():
    text = """# syntax=docker/dockerfile:1
ARG VERSION=3.12
ARG OTHER
FROM --platform=$BUILDPLATFORM python:${VERSION}-slim AS build
EXPOSE 1111
RUN --mount=type=bind,from=ghcr.io/tools/uv:1,target=/uv \\
    # a comment inside
    echo hi
FROM build AS middle
FROM ${OTHER:-debian:12}
COPY --chown=1:1 --from=build /a /b
COPY --from=0 /a /b
COPY --from=nginx:1 /etc/nginx /x
EXPOSE 8000/tcp 9000
"""
    read = parse_dockerfile(text, {})
    assert read.images == ("python:3.12-slim", "ghcr.io/tools/uv:1", "debian:12", "nginx:1")
    assert read.stages == ("build", "middle", "2")
    assert read.port == 8000


def test_build_arguments_choose_the_image():
    assert parse_dockerfile("ARG B=a\nFROM $B", {"B": "roost/python:bookworm"}).images == ("roost/python:bookworm",)


def test_scratch_is_no_image_and_stage_names_ignore_case():
    assert parse_dockerfile("FROM scratch AS One\nFROM one", {}).images == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("RUN x", "no FROM"),
        ("", "no FROM"),
        ("ARG X\nFROM $X", "line 2"),
        ("FROM a b c d", "line 1"),
        ("FROM --platform=linux/arm64 a", "linux/arm64"),
    ],
)
def test_what_can_not_be_built_is_refused(text, why):
    with pytest.raises(BadInput, match=why):
        parse_dockerfile(text, {})


def test_an_unknown_target_is_refused_and_later_stages_are_not_needed():
    text = "FROM a AS one\nEXPOSE 5\nFROM b AS two\n"
    with pytest.raises(BadInput, match="no stage"):
        parse_dockerfile(text, {}, "three")
    read = parse_dockerfile(text, {}, "one")
    assert (read.images, read.port) == (("a",), 5)


def test_here_documents_and_continuations_are_passed_over():
    text = "FROM a\nRUN <<EOF\nFROM fake\nEXPOSE 1\nEOF\nRUN x \\\n\n  FROM y\nEXPOSE 2\n"
    assert [(n, w) for n, w, _ in instructions(text)] == [(1, "FROM"), (2, "RUN"), (6, "RUN"), (9, "EXPOSE")]
    read = parse_dockerfile(text, {})
    assert (read.images, read.port) == (("a",), 2)


def test_another_escape_character():
    assert parse_dockerfile("# escape=`\nFROM `\n  a\n", {}).images == ("a",)


def test_variables():
    known = {"A": "1", "E": ""}
    assert expand("$A ${A} ${B:-x} ${A:+y} ${B:+y} $B ${E:-z}", known) == "1 1 x y   z"


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(BadInput):
        parse_dockerfile("FROM a\n" + text, {})
