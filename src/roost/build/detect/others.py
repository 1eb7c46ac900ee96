"""Stacks that are recognised and not built here: each says what to do instead. Pure.

One detector each, small: the files that give the stack away, and the framework where it can be told.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from xml.etree import ElementTree

from roost.build.detect.candidate import Candidate, Strength
from roost.build.detect.tree import SourceTree, top_level
from roost.model.build_plan import BuildPlan

_DENO = re.compile(r"""from\s+["'](?:https://deno\.land/|jsr:|npm:)""")


def _candidate(stack: str, framework: str, evidence: str, start: str, strength: Strength) -> Candidate:
    """Make the candidate of a stack that can't be built here; `start` is what its Dockerfile would run."""
    plan = BuildPlan(
        stack=stack,
        framework=framework,
        evidence=(evidence, *((f"its package.json names {framework}",) if stack == "bun" and framework else ())),
        processes={"app": start} if start else {},
        buildable=False,
        obstacle=f"{stack} apps are not built from source here yet: add a Dockerfile"
        + (f" that ends with CMD {start}" if start else "")
        + ", and deploy again",
    )
    return Candidate(strength, plan)


def detect_rust(tree: SourceTree) -> Candidate | None:
    """Cargo.toml: a binary, and the web framework among its dependencies."""
    text = tree.read("Cargo.toml")
    if text is None:
        return None
    try:
        cargo = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        cargo = {}
    dependencies = cargo.get("dependencies")
    names = set(dependencies) if isinstance(dependencies, dict) else set()
    framework = next((n for n in ("rocket", "actix-web", "axum", "warp", "poem", "salvo", "tide") if n in names), "")
    binaries = cargo.get("bin")
    named = (
        binaries[0].get("name") if isinstance(binaries, list) and binaries and isinstance(binaries[0], dict) else None
    )
    package = cargo.get("package")
    name = str(named or (package.get("name") if isinstance(package, dict) else "") or "app")
    runs = "src/main.rs" in tree.paths or bool(named) or "workspace" in cargo
    strength = Strength.SERVER if framework else Strength.PROGRAM if runs else Strength.MANIFEST
    return _candidate("rust", framework, "there is a Cargo.toml", f"./target/release/{name}" if runs else "", strength)


def detect_java(tree: SourceTree) -> Candidate | None:
    """Maven or Gradle, and Spring Boot, Quarkus or Micronaut among the dependencies."""
    files = [n for n in ("pom.xml", "build.gradle", "build.gradle.kts", "gradlew", "build.sbt") if n in tree.paths]
    if not files:
        return None
    text = " ".join(tree.read(name) or "" for name in files)
    framework = next((n for n in ("spring-boot", "quarkus", "micronaut", "ktor", "dropwizard") if n in text), "")
    stack = "scala" if files[0] == "build.sbt" else "java"
    jars = "target/*.jar" if files[0] == "pom.xml" else "build/libs/*.jar"
    return _candidate(
        stack, framework, f"there is a {files[0]}", f"java -Dserver.port=$PORT -jar {jars}",
        Strength.SERVER if framework else Strength.PROGRAM,
    )  # fmt: skip


def detect_elixir(tree: SourceTree) -> Candidate | None:
    """mix.exs, with Phoenix as a dependency."""
    text = tree.read("mix.exs")
    if text is None:
        return None
    phoenix = re.search(r"\{\s*:phoenix\s*,", text) is not None
    app = re.search(r"\bapp:\s*:(\w+)", text)
    start = f"_build/prod/rel/{app[1]}/bin/{app[1]} start" if app else "mix run --no-halt"
    return _candidate(
        "elixir", "phoenix" if phoenix else "", "there is a mix.exs", start,
        Strength.SERVER if phoenix else Strength.PROGRAM,
    )  # fmt: skip


def detect_deno(tree: SourceTree) -> Candidate | None:
    """deno.json, or a top-level script that imports from Deno's registries (and no package.json)."""
    config = next((name for name in ("deno.json", "deno.jsonc", "deno.lock") if name in tree.paths), "")
    scripts = sorted(name for name in top_level(tree) if name.endswith((".ts", ".tsx", ".js")))
    if not config and "package.json" not in tree.paths:
        config = next((name for name in scripts if _DENO.search(tree.read(name) or "")), "")
    if not config or (config == "deno.lock" and "package.json" in tree.paths):
        return None
    entry = next(
        (n for n in ("main.ts", "main.tsx", "mod.ts", "server.ts", "main.js", "index.ts") if n in tree.paths), ""
    )
    start = f"deno run --allow-all {entry or (scripts[0] if scripts else 'main.ts')}"
    try:
        tasks = json.loads(tree.read("deno.json") or "{}").get("tasks", {})
        start = "deno task start" if "start" in tasks else start
    except (ValueError, AttributeError, TypeError, RecursionError):
        pass
    return _candidate("deno", "", f"there is {config}", start, Strength.PROGRAM)


def detect_dotnet(tree: SourceTree) -> Candidate | None:
    """A .csproj, .fsproj or .vbproj; the Web SDK means ASP.NET."""
    projects = sorted(
        (path for path in tree.paths if path.endswith((".csproj", ".fsproj", ".vbproj")) and path.count("/") <= 2),
        key=lambda path: (path.count("/"), path),
    )
    if not projects:
        return None
    web = [path for path in projects if _sdk(tree.read(path) or "") == "Microsoft.NET.Sdk.Web"]
    chosen = (web or projects)[0]
    name = chosen.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return _candidate(
        "dotnet", "aspnet" if web else "", f"{chosen} is a .NET project", f"dotnet out/{name}.dll",
        Strength.SERVER if web else Strength.PROGRAM,
    )  # fmt: skip


def _sdk(text: str) -> str:
    """Return the Sdk attribute of a project file; entities are refused, so nothing is expanded."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return ""
    try:
        return ElementTree.fromstring(text.lstrip("\ufeff")).get("Sdk", "")  # noqa: S314 - no DTD gets this far
    except ElementTree.ParseError:
        return ""


_MARKERS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("gleam", ("gleam.toml",), "gleam run"),
    ("dart", ("pubspec.yaml",), "dart run bin/server.dart"),
    ("crystal", ("shard.yml",), "bin/app"),
    ("haskell", ("stack.yaml", "package.yaml", "cabal.project"), ""),
    ("clojure", ("project.clj", "deps.edn"), ""),
    ("swift", ("Package.swift",), "swift run"),
    ("zig", ("build.zig",), "zig-out/bin/app"),
    ("haunt", ("haunt.scm",), ""),
    ("lunatic", (".cargo/config.toml",), ""),
    ("cpp", ("CMakeLists.txt", "meson.build"), ""),
    ("cobol", ("index.cbl", "main.cbl"), ""),
    ("shell", ("start.sh",), "sh start.sh"),
)


def detect_markers(tree: SourceTree) -> Candidate | None:
    """Stacks that a single file gives away."""
    for stack, names, start in _MARKERS:
        for name in names:
            if name in tree.paths and (stack != "lunatic" or "lunatic" in (tree.read(name) or "")):
                return _candidate(stack, "", f"there is a {name}", start, Strength.PROGRAM)
    return None


Detector = Callable[[SourceTree], Candidate | None]
