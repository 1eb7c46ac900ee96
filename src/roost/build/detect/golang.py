"""Detects Go apps: the module, the package to build, and the Go version it demands. Pure."""

from __future__ import annotations

import posixpath
import re

from roost.build.detect import bases
from roost.build.detect.candidate import Candidate, Story, Strength
from roost.build.detect.needs import GO, needed
from roost.build.detect.tree import SourceTree
from roost.model.build_plan import BuildPlan

OUTPUT = "/usr/local/bin/app"
_FRAMEWORKS = {
    "github.com/gin-gonic/gin": "gin", "github.com/labstack/echo": "echo", "github.com/gofiber/fiber": "fiber",
    "github.com/go-chi/chi": "chi", "github.com/gorilla/mux": "gorilla", "github.com/beego/beego": "beego",
    "github.com/gobuffalo/buffalo": "buffalo",
}  # fmt: skip
_PREFERRED = ("server", "web", "api", "app", "main", "httpd")
_PACKAGE = re.compile(r"^(?:\s*(?://[^\n]*|/\*.*?\*/))*\s*package\s+(\w+)", re.DOTALL)
_LISTEN = re.compile(
    r"""(?:ListenAndServe\w*|\.Run|\.Listen|\.Start)\(\s*"[\w.]*:(\d{2,5})"|\bAddr:\s*"[\w.]*:(\d{2,5})\""""
)


def detect_go(tree: SourceTree) -> Candidate | None:
    """Return the plan for a Go app, or None."""
    module_file = tree.read("go.mod")
    work = "go.work" in tree.paths
    if module_file is None and not work and "main.go" not in tree.paths:
        return None
    story = Story()
    mods = _module_files(tree)
    requires = {name for path in mods for name in _requirements(tree.read(path) or "")}
    story.found(f"{'go.work' if work else 'go.mod' if module_file is not None else 'main.go'}: a Go program")
    framework = next((name for path, name in _FRAMEWORKS.items() if _names(requires, path)), "")
    if framework:
        story.found(f"go.mod requires {framework}")
    needed({c for group in GO.values() for c in group if _names(requires, c)}, GO, "go.mod", story)
    package = _main_package(tree, module_file or "", story)
    obstacle = _obstacle(tree, mods, requires, package)
    flags = "" if module_file is not None or work else "env GO111MODULE=off "
    target = f"./{package}" if package else "."
    port = _port(tree, package or "", story)
    plan = BuildPlan(
        stack="go",
        framework=framework,
        evidence=tuple(story.evidence),
        base=bases.GO,
        build_commands=(f"{flags}go build -trimpath -ldflags='-s -w' -o {OUTPUT} {target}",),
        build_caches=("/root/go/pkg/mod", "/root/.cache/go-build"),
        env={"CGO_ENABLED": "0", "GIN_MODE": "release"} if framework == "gin" else {"CGO_ENABLED": "0"},
        processes={"app": OUTPUT},
        port=port,
        needs=tuple(story.needs),
        notes=tuple(story.notes),
        buildable=not obstacle,
        obstacle=obstacle,
    )
    return Candidate(Strength.MANIFEST if package is None else Strength.SERVER, plan)


def _module_files(tree: SourceTree) -> list[str]:
    return sorted(
        p for p in tree.paths if p.rsplit("/", 1)[-1] == "go.mod" and p.count("/") <= 2 and "vendor/" not in p
    )


def _requirements(text: str) -> list[str]:
    """Return the module paths that a go.mod requires, directly."""
    text = re.sub(r"[^\n]*// indirect", "", text)
    lines = re.findall(r"^require\s+(\S+)\s+v", text, re.MULTILINE)
    for block in re.findall(r"^require\s*\((.*?)^\)", text, re.MULTILINE | re.DOTALL):
        lines += re.findall(r"^\s*([^\s/][^\s]*)\s+v", block, re.MULTILINE)
    return lines


def _names(requires: set[str], path: str) -> bool:
    """True when a module, at whatever major version (path/v2), is required."""
    return any(name == path or re.fullmatch(re.escape(path) + r"/v\d+", name) for name in requires)


def _main_package(tree: SourceTree, module_file: str, story: Story) -> str | None:
    """Return the directory of the package to build ("" is the top), or None."""
    directories: dict[str, None] = {}
    for path in sorted(tree.paths, key=lambda path: (path.count("/"), path)):
        directory = posixpath.dirname(path)
        skipped = {"vendor", "testdata", "examples", "example", "internal", "tools"} & set(directory.split("/"))
        if path.endswith(".go") and not path.endswith("_test.go") and path.count("/") <= 3 and not skipped:
            text = (tree.read(path) or "")[:20_000]
            found = _PACKAGE.match(text)
            if found and found[1] == "main" and "//go:build ignore" not in text and "// +build ignore" not in text:
                directories[directory] = None
    if not directories:
        return None
    if "" in directories:
        story.found("package main is at the top")
        return ""
    module = re.search(r"^module\s+(\S+)", module_file, re.MULTILINE)
    preferred = (module[1].rsplit("/", 1)[-1] if module else "", *_PREFERRED)
    below_cmd = [d for d in directories if d.startswith("cmd/")] or list(directories)
    below_cmd.sort(key=lambda d: (_rank(d.rsplit("/", 1)[-1], preferred), d))
    chosen = below_cmd[0]
    story.found(f"package main is in {chosen}/")
    if len(below_cmd) > 1:
        others = ", ".join(below_cmd[1:5])
        story.tell(
            f"{chosen} was chosen among several main packages (also {others}); a Dockerfile can choose otherwise"
        )
    return chosen if re.fullmatch(r"[A-Za-z0-9._/@+-]+", chosen) else None


def _rank(name: str, preferred: tuple[str, ...]) -> int:
    return preferred.index(name) if name in preferred else len(preferred)


def _obstacle(tree: SourceTree, mods: list[str], requires: set[str], package: str | None) -> str:
    if package is None:
        return "no package main was found: name the program in a Dockerfile"
    if _names(requires, "github.com/mattn/go-sqlite3"):
        return (
            "github.com/mattn/go-sqlite3 needs a C compiler, which the base image lacks: "
            "use modernc.org/sqlite, or write a Dockerfile"
        )
    for path in [*mods, "go.work"]:
        demanded = re.search(r"^go\s+(\d+)\.(\d+)", tree.read(path) or "", re.MULTILINE)
        if demanded and (int(demanded[1]), int(demanded[2])) > bases.GO_VERSION:
            have = ".".join(map(str, bases.GO_VERSION))
            return f"{path} demands Go {demanded[1]}.{demanded[2]} and the base image has {have}: write a Dockerfile"
    return ""


def _port(tree: SourceTree, package: str, story: Story) -> int:
    """Return the port that the main package's files name as a number, unless they read PORT."""
    prefix = f"{package}/" if package else ""
    files = [p for p in tree.paths if p.startswith(prefix) and p.endswith(".go") and "/" not in p[len(prefix) :]]
    texts = {path: tree.read(path) or "" for path in sorted(files)}
    if any('"PORT"' in text for text in texts.values()):
        return 8080
    for path, text in texts.items():
        if found := _LISTEN.search(text):
            port = int(found[1] or found[2])
            if 1 <= port <= 65535:
                story.tell(f'{path} listens on port {port}; read os.Getenv("PORT") to have it follow the configuration')
                return port
    return 8080
