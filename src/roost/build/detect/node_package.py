"""Reads package.json and the lock files: what a Node project depends on, and which tool installs it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roost.build.detect.tree import SourceTree
from roost.model.errors import BadInput

NPM_CACHE = "/root/.npm"
_LOCKS = (
    ("pnpm", ("pnpm-lock.yaml",)),
    ("bun", ("bun.lock", "bun.lockb")),
    ("yarn", ("yarn.lock",)),
    ("npm", ("package-lock.json", "npm-shrinkwrap.json")),
)
_LIFECYCLE = ("preinstall", "install", "postinstall", "prepare")
_HARMLESS = re.compile(r"\s*(?:(?:npx )?husky(?: install)?|patch-package|is-ci \|\| husky install)\s*")
_VERSION = re.compile(r"\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.]+)?")


@dataclass(frozen=True, slots=True)
class NodePackage:
    """package.json as detection needs it. `dependencies` include the development ones."""

    data: Mapping[str, Any]
    scripts: Mapping[str, str]
    dependencies: Mapping[str, str]
    production: frozenset[str]  # names of the dependencies proper
    main: str

    def has(self, *names: str) -> bool:
        """True when any of the packages is depended on, for development or not."""
        return any(name in self.dependencies for name in names)


def read_package(tree: SourceTree) -> NodePackage | None:
    """Read package.json; raises BadInput when it isn't an object in JSON."""
    text = tree.read("package.json")
    if text is None:
        return None
    try:
        data = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"package.json is not valid JSON: {error}", hint="correct the file") from None
    if not isinstance(data, dict):
        raise BadInput("package.json must hold an object", hint="npm init makes one")
    groups = [_strings(data, key) for key in ("devDependencies", "optionalDependencies", "dependencies")]
    main = data.get("main")
    return NodePackage(
        data=data,
        scripts=_strings(data, "scripts"),
        dependencies={name: version for group in groups for name, version in group.items()},
        production=frozenset(groups[2]),
        main=main if isinstance(main, str) else "",
    )


def _strings(data: Mapping[str, Any], key: str) -> dict[str, str]:
    value = data.get(key)
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Installer:
    """The package tool and how it is called."""

    tool: str  # npm | pnpm | yarn | bun
    why: str
    setup: tuple[str, ...]  # commands that bring the tool itself
    install: str
    files: tuple[str, ...]
    run: str  # prefix that runs a script: "npm run"
    caches: tuple[str, ...]
    before_source: bool  # the packages can be installed without the source


def choose_installer(tree: SourceTree, package: NodePackage, *, development: bool) -> Installer:
    """Choose by `packageManager`, then by the lock file, then by `engines`; npm otherwise.

    `development`: the packages for building are wanted too.
    """
    tool, version, why = _tool(tree, package)
    locks = tuple(path for name, paths in _LOCKS if name == tool for path in paths if path in tree.paths)
    before = not any(name in package.scripts and not _HARMLESS.fullmatch(package.scripts[name]) for name in _LIFECYCLE)
    before = before and not any(v.startswith(("file:", "link:", "portal:")) for v in package.dependencies.values())
    development = development or any(name in package.scripts for name in _LIFECYCLE)
    commands = {"npm": _npm, "pnpm": _pnpm, "yarn": _yarn, "bun": _bun}[tool]
    setup, install, caches = commands(tree, version, bool(locks), development)
    return Installer(tool, why, setup, install, _files(tree, locks), f"{tool} run", caches, before)


def _tool(tree: SourceTree, package: NodePackage) -> tuple[str, str, str]:
    """Return (tool, wanted version or "", why)."""
    declared = package.data.get("packageManager")
    if isinstance(declared, str):
        name, _, version = declared.partition("@")
        version = version.split("+")[0]
        if name in ("npm", "pnpm", "yarn", "bun"):
            return name, version if _VERSION.fullmatch(version) else "", f"packageManager says {name} {version}"
    for tool, locks in _LOCKS:
        for lock in locks:
            if lock in tree.paths:
                return tool, "", f"{lock} is {tool}'s"
    if ".yarnrc.yml" in tree.paths or ".yarnrc" in tree.paths:
        return "yarn", "", ".yarnrc is yarn's"
    engines = _strings(package.data, "engines")
    for tool in ("pnpm", "bun", "yarn"):
        if tool in engines:
            return tool, "", f"engines names {tool}"
    return "npm", "", "there is no lock file: npm installs"


_Commands = tuple[tuple[str, ...], str, tuple[str, ...]]


def _npm(_tree: SourceTree, _version: str, locked: bool, development: bool) -> _Commands:
    omit = "--include=dev" if development else "--omit=dev"
    return (), f"npm {'ci' if locked else 'install'} {omit} --no-audit --no-fund", (NPM_CACHE,)


def _pnpm(tree: SourceTree, version: str, locked: bool, development: bool) -> _Commands:
    head = (tree.read("pnpm-lock.yaml") or "")[:200]
    lockfile = re.search(r"lockfileVersion:\s*'?(\d+)", head)
    major = {"5": "7", "6": "8"}.get(lockfile[1], "9") if lockfile else "9"
    production = "--prod=false" if development else "--prod"
    frozen = "--frozen-lockfile" if locked else "--no-frozen-lockfile"
    store = "/root/.local/share/pnpm/store"
    setup = (f"npm install --global --no-audit --no-fund pnpm@{version or major}",)
    return setup, f"pnpm install {frozen} {production} --store-dir {store}", (NPM_CACHE, store)


def _yarn(tree: SourceTree, version: str, locked: bool, development: bool) -> _Commands:
    setup: tuple[str, ...]
    if ".yarnrc.yml" in tree.paths or (version and not version.startswith("1.")):
        own = sorted(path for path in tree.paths if re.fullmatch(r"\.yarn/releases/yarn-[\w.-]+\.cjs", path))
        if own:
            setup = (
                f"printf '#!/bin/sh\\nexec node /app/{own[-1]} \"$@\"\\n' > /usr/local/bin/yarn",
                "chmod 755 /usr/local/bin/yarn",
            )
        else:
            setup = (f"npm install --global --no-audit --no-fund @yarnpkg/cli-dist@{version or '4'}",)
        immutable = "--immutable" if locked else "--no-immutable"
        return (
            setup,
            f"env YARN_NODE_LINKER=node-modules yarn install {immutable}",
            (NPM_CACHE, "/root/.yarn/berry/cache"),
        )
    setup = (f"npm install --global --no-audit --no-fund yarn@{version or '1.22.22'}",)
    production = "--production=false" if development else "--production"
    frozen = "--frozen-lockfile" if locked else "--no-lockfile"
    return setup, f"yarn install {frozen} {production} --non-interactive", (NPM_CACHE, "/usr/local/share/.cache/yarn")


def _bun(_tree: SourceTree, version: str, locked: bool, development: bool) -> _Commands:
    setup = (f"npm install --global --no-audit --no-fund bun@{version or '1'}",)
    flags = ("--frozen-lockfile " if locked else "") + ("" if development else "--production")
    return setup, f"bun install {flags}".strip(), (NPM_CACHE, "/root/.bun/install/cache")


def _files(tree: SourceTree, locks: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the installer reads: manifests (of workspaces too), locks, settings and patches."""
    names = {"package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml", "bunfig.toml", *locks}
    prefixes = (".yarn/releases/", ".yarn/patches/", ".yarn/plugins/", "patches/", "prisma/schema")
    chosen = {path for path in tree.paths if path in names or path.startswith(prefixes)}
    chosen |= {path for path in tree.paths if path.endswith("/package.json") and path.count("/") <= 3}
    return tuple(sorted(chosen))
