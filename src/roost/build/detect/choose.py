"""Decides what a source directory is: asks every stack's detector and takes the strongest case. Pure.

What the owner wrote always wins: `[build]` of roost.toml, then a Dockerfile, then what the files show;
and for the start commands `[processes]`, then a Procfile, then what was detected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from roost.build.detect.candidate import Candidate, Strength
from roost.build.detect.dockerfile import NAMES, dockerfile_plan
from roost.build.detect.golang import detect_go
from roost.build.detect.node import detect_node
from roost.build.detect.others import (
    detect_deno,
    detect_dotnet,
    detect_elixir,
    detect_java,
    detect_markers,
    detect_rust,
)
from roost.build.detect.php import detect_php
from roost.build.detect.procfile import Procfile, read_procfile
from roost.build.detect.python import detect_python
from roost.build.detect.ruby import detect_ruby
from roost.build.detect.static import detect_static
from roost.build.detect.tree import SourceTree
from roost.model.app_config import AppConfig
from roost.model.build_plan import BuildPlan
from roost.model.errors import BadInput

# In the order in which equal cases are decided.
_DETECTORS: tuple[Callable[[SourceTree], Candidate | None], ...] = (
    detect_php,
    detect_go,
    detect_java,
    detect_rust,
    detect_ruby,
    detect_elixir,
    detect_python,
    detect_deno,
    detect_dotnet,
    detect_node,
    detect_markers,
    detect_static,
)
_LOOKED_FOR = (
    "a Dockerfile; Python (requirements.txt, pyproject.toml, Pipfile, setup.py, manage.py, main.py, app.py), "
    "Node (package.json), Go (go.mod, main.go), Ruby (Gemfile, config.ru), PHP (composer.json, index.php), "
    "a static site (index.html, Staticfile), Rust, Java, Elixir, Deno, .NET and others"
)
_MANIFESTS = ("package.json", "requirements.txt", "pyproject.toml", "go.mod", "Gemfile", "composer.json", "Dockerfile")


def detect(tree: SourceTree, config: AppConfig | None = None) -> BuildPlan:
    """Return how the directory is built and started, with the evidence.

    `config` overrides what the files show. Raises BadInput when nothing is recognised, or when a file
    that decides (package.json, pyproject.toml, a named Dockerfile) is missing or broken.
    """
    config = config or AppConfig()
    procfile = read_procfile(tree.read("Procfile") or "")
    plan = _explicit(tree, config) or _strongest(tree, config, procfile)
    if plan.stack not in ("dockerfile", "image"):
        plan = _with_procfile(plan, procfile)
    elif procfile.processes:
        plan = replace(plan, notes=(*plan.notes, "the Procfile is not used: the image says what it starts"))
    return _with_config(plan, config)


def _explicit(tree: SourceTree, config: AppConfig) -> BuildPlan | None:
    """Return the plan that the owner asked for by name, or a Dockerfile's."""
    build = config.build
    if build.image:
        why = f"roost.toml names the image {build.image}: nothing is built"
        return BuildPlan(stack="image", framework="", evidence=(why,), base=build.image)
    if build.dockerfile:
        return dockerfile_plan(tree, build.dockerfile, f"roost.toml names {build.dockerfile}", build.target)
    if build.builtin not in ("", "dockerfile"):
        return None
    found = next((name for name in NAMES if name in tree.paths), "")
    if not found:
        return None
    return dockerfile_plan(tree, found, f"there is a {found}: it says how the app is built", build.target)


def _strongest(tree: SourceTree, config: AppConfig, procfile: Procfile) -> BuildPlan:
    """Ask all the detectors; the strongest case wins, an earlier stack among equals."""
    own_start = bool(config.processes or procfile.processes)
    candidates: list[Candidate] = []
    for detector in _DETECTORS:
        found = detect_python(tree, own_start=own_start) if detector is detect_python else detector(tree)
        if found and config.build.builtin in ("", found.plan.stack):
            if own_start and found.strength is Strength.MANIFEST:
                found = replace(found, strength=Strength.PROGRAM)
            candidates.append(found)
    if not candidates:
        raise _nothing_found(tree, config)
    best = max(candidates, key=lambda candidate: candidate.strength)
    return _mention_others(best, candidates)


def _mention_others(best: Candidate, candidates: list[Candidate]) -> BuildPlan:
    """Say which other stacks' files are there, and how to choose one of them."""
    plan = best.plan
    notes = list(plan.notes)
    for other in (candidate.plan for candidate in candidates):
        if other.buildable and other.stack not in (plan.stack, "static"):
            named = f"{other.stack} ({other.framework})" if other.framework else other.stack
            notes.append(
                f"there are also files of {named}, which are not built: {plan.stack} was chosen; "
                f'builtin = "{other.stack}" under [build] of roost.toml chooses otherwise'
            )
    return replace(plan, notes=tuple(notes))


def _nothing_found(tree: SourceTree, config: AppConfig) -> BadInput:
    if config.build.builtin:
        return BadInput(
            f"roost.toml asks for a {config.build.builtin} app, and no file of one was found",
            hint="correct build.builtin in roost.toml, or remove it",
        )
    below = sorted({p.rpartition("/")[0] for p in tree.paths if p.count("/") == 1 and p.endswith(_MANIFESTS)})
    what = "the directory is empty" if not tree.paths else "nothing that Roost can build was found at the top of it"
    hint = "add a Dockerfile, or a Procfile next to the app's package file"
    if below:
        hint = f"the app may be in {', '.join(below[:3])}: run roost launch there"
    return BadInput(f"can't tell what this app is: {what}. Looked for {_LOOKED_FOR}", hint=hint)


def _with_procfile(plan: BuildPlan, procfile: Procfile) -> BuildPlan:
    if procfile.release:
        why = f"Procfile: release runs {procfile.release[:100]}"
        plan = replace(plan, release_command=procfile.release, evidence=(*plan.evidence, why))
    if not procfile.processes:
        return plan
    why = f"Procfile: {procfile.web} starts {procfile.processes['app'][:100]}"
    groups = ", ".join(name for name in procfile.processes if name != "app")
    evidence = (*plan.evidence, why, *((f"Procfile: process groups {groups}",) if groups else ()))
    return _started_by(replace(plan, evidence=evidence), procfile.processes)


def _with_config(plan: BuildPlan, config: AppConfig) -> BuildPlan:
    if config.deploy.release_command:
        plan = replace(plan, release_command=config.deploy.release_command)
    if not config.processes:
        return plan
    evidence = (*plan.evidence, f"roost.toml names the processes {', '.join(config.processes)}")
    return _started_by(replace(plan, evidence=evidence), config.processes)


def _started_by(plan: BuildPlan, processes: dict[str, str]) -> BuildPlan:
    """Replace the start commands by the owner's; a plan that only lacked one can then be built."""
    lacked_only_start = not plan.buildable and not plan.processes and plan.stack in _BUILT
    port = plan.port
    if any("PORT" in command or "gunicorn" in command for command in processes.values()):
        port = plan.port if plan.stack == "dockerfile" else 8080
    env = dict(plan.env)
    if plan.stack == "python" and any("gunicorn" in command for command in processes.values()):
        env.setdefault("GUNICORN_CMD_ARGS", "--timeout=0")
    plan = replace(plan, processes=dict(processes), port=port, env=env)
    return replace(plan, buildable=True, obstacle="") if lacked_only_start else plan


_BUILT = frozenset({"python", "node", "ruby", "php", "static"})
