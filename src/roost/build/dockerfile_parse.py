"""Reading the parts of a Dockerfile that Roost must know before buildah does: pure.

Which images it starts from (so that they can be brought by the host, and no registry password enters a
build machine) and which port it exposes. Everything else is buildah's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from roost.model.errors import BadInput

MAX_BYTES = 1 << 20
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::(?P<mode>[-+])(?P<word>[^}]*))?\}|(?P<plain>\w+))")
_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*")
_HEREDOC = re.compile(r"<<(-?)([\"']?)(\w+)\2")
_WITH_HEREDOC = ("RUN", "COPY", "ADD")


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """What was read. `images` are the references it needs, `port` the first one exposed by the last stage."""

    images: tuple[str, ...]
    stages: tuple[str, ...]
    port: int | None


def parse_dockerfile(text: str, build_args: Mapping[str, str], target: str = "") -> Dockerfile:
    """Read a Dockerfile; raises BadInput naming the line when it has no FROM or an image can't be known."""
    if len(text) > MAX_BYTES:
        raise BadInput(f"the Dockerfile is longer than {MAX_BYTES} bytes")
    arguments: dict[str, str] = {"TARGETPLATFORM": "linux/amd64", "TARGETARCH": "amd64", "TARGETOS": "linux"}
    arguments |= {"BUILDPLATFORM": "linux/amd64", "BUILDARCH": "amd64", "BUILDOS": "linux"}
    stages: list[str] = []
    images: list[str] = []
    port: int | None = None
    for number, word, rest in instructions(text):
        if word == "ARG" and not stages:
            arguments |= _arguments(rest, arguments, build_args)
        elif word == "FROM":
            if target and target in stages[-1:]:
                break
            image, name = _from(rest, arguments, number)
            if image.lower() not in {stage.lower() for stage in stages} and image != "scratch":
                images.append(image)
            stages.append(name or str(len(stages)))
            port = None
        elif stages:
            images += [image for image in _taken_from(word, rest) if not _is_stage(image, stages)]
            if word == "EXPOSE" and port is None:
                port = _port(rest)
    if not stages:
        raise BadInput(
            "the Dockerfile has no FROM", hint="begin it with FROM and an image, e.g. FROM roost/base:bookworm"
        )
    if target and not _is_stage(target, stages):
        raise BadInput(f"the Dockerfile has no stage {target[:80]!r}", hint=f"its stages are {', '.join(stages)}")
    return Dockerfile(tuple(dict.fromkeys(images)), tuple(stages), port)


def instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, instruction, rest) with continued lines joined and here-documents passed over."""
    lines = text.replace("\r\n", "\n").split("\n")
    escape = _escape(lines)
    position = 0
    while position < len(lines):
        start = position
        logical = ""
        while position < len(lines):
            line = lines[position]
            position += 1
            if line.lstrip().startswith("#") or (logical and not line.strip()):
                continue
            if not line.rstrip().endswith(escape):
                logical += line
                break
            logical += line.rstrip()[:-1]
        word, _, rest = logical.strip().partition(" ")
        if not word:
            continue
        if word.upper() in _WITH_HEREDOC:
            for dash, _, end in _HEREDOC.findall(rest):
                while position < len(lines) and (lines[position].lstrip("\t") if dash else lines[position]) != end:
                    position += 1
                position += 1
        yield start + 1, word.upper(), rest.strip()


def expand(text: str, arguments: Mapping[str, str]) -> str:
    """Replace $NAME, ${NAME}, ${NAME:-word} and ${NAME:+word}; an unknown name becomes nothing."""

    def value(match: re.Match[str]) -> str:
        known = arguments.get(match["braced"] or match["plain"] or "", "")
        if match["mode"] == "-":
            return known or match["word"]
        if match["mode"] == "+":
            return match["word"] if known else ""
        return known

    return _VARIABLE.sub(value, text)


def _escape(lines: list[str]) -> str:
    for line in lines:
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            break
        if match[1].lower() == "escape" and match[2] in ("\\", "`"):
            return match[2]
    return "\\"


def _arguments(rest: str, known: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in rest.split():
        name, has_default, default = item.partition("=")
        if name in given:
            found[name] = given[name]
        elif has_default:
            found[name] = expand(default.strip("\"'"), {**known, **found})
    return found


def _from(rest: str, arguments: Mapping[str, str], number: int) -> tuple[str, str]:
    words = rest.split()
    while words and words[0].startswith("--"):
        flag = words.pop(0)
        platform = expand(flag.partition("=")[2], arguments)
        if flag.startswith("--platform=") and platform not in ("linux/amd64", "linux/x86_64", ""):
            raise BadInput(f"line {number} of the Dockerfile asks for {platform}; this cloud builds for linux/amd64")
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise BadInput(f"line {number} of the Dockerfile is not FROM IMAGE [AS NAME]")
    image = expand(words[0], arguments)
    if not image:
        raise BadInput(
            f"line {number} of the Dockerfile names an image by an argument that has no value: {words[0][:80]}",
            hint="give the ARG a default, or pass --build-arg",
        )
    return image, words[2] if len(words) == 3 else ""


def _taken_from(word: str, rest: str) -> list[str]:
    """Return what COPY --from=X and RUN --mount=...,from=X name."""
    if word == "COPY":
        return [item[len("--from=") :] for item in rest.split() if item.startswith("--from=")]
    if word == "RUN":
        mounts = [item for item in rest.split() if item.startswith("--mount=")]
        return [part[len("from=") :] for mount in mounts for part in mount[8:].split(",") if part.startswith("from=")]
    return []


def _is_stage(name: str, stages: list[str]) -> bool:
    return name.lower() in {stage.lower() for stage in stages} or (name.isdigit() and int(name) < len(stages))


def _port(rest: str) -> int | None:
    match = re.match(r"([0-9]{1,5})(?:/tcp)?(?:\s|$)", rest)
    return int(match[1]) if match and 0 < int(match[1]) < 65536 else None
