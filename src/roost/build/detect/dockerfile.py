"""Reads what a Dockerfile says about running its image: the port, and whether it starts anything. Pure."""

from __future__ import annotations

import re

from roost.build.detect import bases
from roost.build.detect.tree import SourceTree
from roost.model.build_plan import BuildPlan
from roost.model.errors import BadInput

NAMES = ("Dockerfile", "Containerfile", "dockerfile")
_VARIABLE = re.compile(r"\$\{?(\w+)(?::?-([^}]*))?\}?")


def dockerfile_plan(tree: SourceTree, path: str, why: str, target: str = "") -> BuildPlan:
    """Return the plan that builds `path`; raises BadInput when there is no such file."""
    text = tree.read(path)
    if text is None:
        raise BadInput(f"there is no {path} in the source directory", hint="correct build.dockerfile in roost.toml")
    port, evidence, notes = exposed_port(text, target), [why], []
    if port:
        evidence.append(f"{path} exposes port {port}")
    else:
        notes.append(f"{path} exposes no port: 8080 is assumed, and the app is told by $PORT")
    return BuildPlan(
        stack="dockerfile",
        framework="",
        evidence=tuple(evidence),
        base=bases.BASE,
        workdir="/",
        port=port or 8080,
        notes=tuple(notes),
        dockerfile=path,
    )


def instructions(text: str) -> list[tuple[str, str]]:
    """Return (INSTRUCTION, arguments) in order; comments gone, continued lines joined."""
    escape = "`" if re.match(r"#\s*escape\s*=\s*`", text, re.IGNORECASE) else "\\"
    lines: list[str] = []
    pending = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        pending += line.strip()
        if pending.endswith(escape):
            pending = pending[:-1] + " "
            continue
        if pending:
            lines.append(pending)
        pending = ""
    found = [re.match(r"([A-Za-z]+)\s+(.*)", line) for line in [*lines, pending] if line]
    return [(match[1].upper(), match[2]) for match in found if match]


def exposed_port(text: str, target: str = "") -> int:
    """Return the first TCP port that the final stage (or `target`) exposes; 0 when it exposes none."""
    port, variables, stage = 0, dict[str, str](), ""
    for name, arguments in instructions(text):
        if name == "FROM":
            if target and stage == target.lower():
                break
            named = re.search(r"\sAS\s+(\S+)", arguments, re.IGNORECASE)
            port, stage = 0, named[1].lower() if named else ""
        elif name in ("ARG", "ENV"):
            variables |= {k: v.strip("\"'") for k, v in re.findall(r"(\w+)=(\"[^\"]*\"|'[^']*'|\S*)", arguments)}
            if legacy := re.fullmatch(r"(\w+)\s+(\S+)", arguments):
                variables[legacy[1]] = legacy[2]
        elif name == "EXPOSE" and not port:
            port = _first_port(_expanded(arguments, variables))
    return port


def _expanded(text: str, variables: dict[str, str]) -> str:
    """Put the values of variables in their places, or their defaults: `$X`, `${X}`, `${X:-8080}`."""
    return _VARIABLE.sub(lambda found: variables.get(found[1], found[2] or ""), text)


def _first_port(arguments: str) -> int:
    for word in arguments.split():
        number, _, protocol = word.partition("/")
        if number.isdigit() and 1 <= int(number) <= 65535 and protocol.lower() in ("", "tcp"):
            return int(number)
    return 0
