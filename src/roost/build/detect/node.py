"""Detects Node apps: the package tool, the framework, what is built, and what is started. Pure.

A start script is run without npm in between: npm as the first process costs memory and keeps signals
to itself. A front end that is built to files is served by caddy, never by its development server.
"""

from __future__ import annotations

import re

from roost.build.detect import bases
from roost.build.detect.candidate import Candidate, Story, Strength
from roost.build.detect.needs import NODE, needed
from roost.build.detect.node_frameworks import SERVERS, Framework, recognise
from roost.build.detect.node_package import Installer, NodePackage, choose_installer, read_package
from roost.build.detect.static import site_env
from roost.build.detect.tree import SourceTree
from roost.model.build_plan import BuildPlan, Dependencies

_PATH = "/app/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENTRY_FILES = (
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "server.mjs",
    "index.mjs",
    "src/index.js",
    "src/server.js",
)
_DEVELOPMENT = re.compile(
    r"\b(?:react-scripts start|ng serve|vite(?: dev| preview)?$|next dev|nuxt dev|astro dev|nest start)\b"
)
_FRONT_END_TOOLS = frozenset({
    "vite", "react-scripts", "ng", "vue-cli-service", "astro", "gatsby", "docusaurus", "vitepress", "eleventy",
    "expo", "parcel", "ember", "serve", "http-server", "next", "nuxt", "svelte-kit",
})  # fmt: skip
_LISTEN = re.compile(r"\.listen\(\s*(\d{2,5})\b|\bport\s*[:=]\s*(\d{4,5})\b", re.IGNORECASE)
_NOTHING_TO_START = (
    "package.json has no start script, and there is no main file and no known framework: "
    'add "start" to its scripts, or name the command in a Procfile or in [processes] of roost.toml'
)


def detect_node(tree: SourceTree) -> Candidate | None:
    """Return the plan for a project with a package.json, or None; raises BadInput when that can't be read."""
    package = read_package(tree)
    if package is None:
        return None
    story = Story()
    framework = recognise(tree, package)
    server = next((name for name in SERVERS if name in package.dependencies), "")
    name = framework.name if framework else server.split("/")[-1]
    if framework:
        story.found(f"{framework.why}: it is a {framework.name} app")
    elif server:
        story.found(f"package.json names {server}")
    build = package.scripts.get("build", "") or (framework.build if framework else "")
    installer = choose_installer(tree, package, development=bool(build) or _needs_development(package))
    story.found(f"{installer.why}, packages are installed by {installer.tool}")
    start, port = _start(tree, package, framework, installer, story)
    needed(package.dependencies, NODE, "package.json", story)
    _prisma(tree, package, story)
    strength = Strength.SERVER if name and start else Strength.PROGRAM if start else Strength.MANIFEST
    obstacle = framework.obstacle if framework and framework.obstacle else "" if start else _NOTHING_TO_START
    dependencies, commands = _commands(package, framework, installer, story)
    site = framework.site if framework else ""
    plan = BuildPlan(
        stack="node",
        framework=name,
        evidence=tuple(story.evidence),
        base=bases.NODE,
        dependencies=dependencies,
        build_commands=commands,
        build_caches=installer.caches if commands and dependencies is None else (),
        env={"PATH": _PATH, "NODE_ENV": "production"}
        | (
            site_env(site, single_page=framework.single_page)
            if framework and site and start == bases.STATIC_START
            else {}
        ),
        processes={"app": start} if start else {},
        port=port,
        needs=tuple(story.needs),
        notes=tuple(story.notes),
        buildable=not obstacle,
        obstacle=obstacle,
    )
    return Candidate(Strength.SERVER if framework and framework.obstacle else strength, plan)


def _needs_development(package: NodePackage) -> bool:
    """True when the start script runs a tool that is a development dependency (nodemon, tsx, ts-node)."""
    first = package.scripts.get("start", "").replace("npx ", "").split()
    return bool(first) and first[0] in package.dependencies and first[0] not in package.production


def _commands(
    package: NodePackage, framework: Framework | None, installer: Installer, story: Story
) -> tuple[Dependencies | None, tuple[str, ...]]:
    """Return the dependency step, and the commands that follow when the source is there."""
    steps: tuple[str, ...] = ()
    env = " ".join(framework.build_env) + " " if framework and framework.build_env else ""
    prefix = f"env {env}" if env else ""
    if "build" in package.scripts:
        story.found(f"the build script is run: {package.scripts['build'][:100]}")
        steps = (f"{prefix}{installer.run} build",)
    elif framework and framework.build:
        story.found(f"there is no build script: {framework.build} builds it")
        steps = (f"{prefix}{framework.build}",)
    if framework and steps:
        steps += framework.after_build
    if not (package.dependencies or package.data.get("workspaces")):
        return None, (*installer.setup, *steps) if steps else ()
    install = (*installer.setup, f"env HUSKY=0 {installer.install}".replace("env HUSKY=0 env ", "env HUSKY=0 "))
    if not installer.before_source:
        story.found("an install script of the project needs its source: packages are installed after it was added")
        return None, (*install, *steps)
    return Dependencies(installer.files, install, installer.caches), steps


def _start(
    tree: SourceTree, package: NodePackage, framework: Framework | None, installer: Installer, story: Story
) -> tuple[str, int]:
    """Return (start command or "", port)."""
    if framework and framework.obstacle:
        return "", 8080
    script = package.scripts.get("start", "").strip()
    if framework and framework.site and (not script or _is_front_end_script(script)):
        story.found(f"the files it builds in {framework.site}/ are served by caddy")
        return bases.STATIC_START, 8080
    if framework and framework.start and (framework.insist or not script or _is_front_end_script(script)):
        story.found(f"it is started with: {framework.start}")
        return framework.start, 8080
    if script:
        story.found(f"the start script is: {script[:100]}")
        if _DEVELOPMENT.search(script):
            story.tell(f"the start script runs a development server ({script[:60]})")
        return _script_command(package, script, installer), _script_port(tree, script, story)
    entry = _entry_file(tree, package)
    if not entry:
        return "", 8080
    story.found(f"{entry} is started, since package.json has no start script")
    runner = "bun" if installer.tool == "bun" else "node"
    return f"{runner} {entry}", _listened_port(tree, entry, story)


def _is_front_end_script(script: str) -> bool:
    """True for start scripts that only serve the front end: development servers, previews, file servers."""
    first = script.removeprefix("npx ").split()[0]
    runs_other = re.match(r"(?:npm|yarn|pnpm|bun)(?: run)? (?:dev|preview|serve|develop)\b", script)
    return first in _FRONT_END_TOOLS or bool(runs_other)


def _script_command(package: NodePackage, script: str, installer: Installer) -> str:
    """Return how the start script is run: directly, unless it leans on the package tool."""
    leans = "npm_" in script or "prestart" in package.scripts or "poststart" in package.scripts
    return f"{installer.run} start" if leans or "\n" in script else script


def _entry_file(tree: SourceTree, package: NodePackage) -> str:
    main = package.main.removeprefix("./")
    candidates = [main, f"{main}.js", f"{main}/index.js"] if main else []
    for path in (*candidates, *_ENTRY_FILES):
        if path in tree.paths and re.fullmatch(r"[A-Za-z0-9._/@-]+", path):
            return path
    return ""


def _script_port(tree: SourceTree, script: str, story: Story) -> int:
    """Return the port of a start script: `-p 3000` or the port its file listens on."""
    if flag := re.search(r"(?:^|\s)(?:-p|--port)[ =](\d{2,5})\b", script):
        story.tell(f"the start script fixes port {flag[1]}; use $PORT in it to have it follow the configuration")
        return int(flag[1])
    file = re.search(r"(?:^|\s)(?:node|bun|tsx|nodemon|deno)\s+(?:--?\S+\s+)*([A-Za-z0-9._/@-]+)", script)
    for path in (file[1].removeprefix("./"), f"{file[1].removeprefix('./')}.js") if file else ():
        if path in tree.paths:
            return _listened_port(tree, path, story)
    return 8080


def _listened_port(tree: SourceTree, path: str, story: Story) -> int:
    """Return the port a file listens on as a number when the environment's PORT isn't read in it; else 8080."""
    text = tree.read(path) or ""
    found = _LISTEN.search(text)
    if not found or re.search(r"\benv\b[^\n]{0,20}PORT", text):
        return 8080
    port = int(found[1] or found[2])
    if not 1 <= port <= 65535:
        return 8080
    story.tell(f"{path} listens on port {port}; use process.env.PORT to have it follow the configuration")
    return port


def _prisma(tree: SourceTree, package: NodePackage, story: Story) -> None:
    if not package.has("prisma", "@prisma/client"):
        return
    schema = tree.read("prisma/schema.prisma") or ""
    provider = re.search(r"datasource\s+\w+\s*\{[^}]*provider\s*=\s*\"(\w+)\"", schema)
    service = (
        {"postgresql": "postgres", "postgres": "postgres", "mysql": "mysql"}.get(provider[1]) if provider else None
    )
    if provider and service:
        story.need(service, f"prisma/schema.prisma has the provider {provider[1]}")
