"""Detects directories of plain files: any with an index.html. They are served by caddy as they are. Pure."""

from __future__ import annotations

import posixpath
import re

from roost.build.detect import bases
from roost.build.detect.candidate import Candidate, Strength
from roost.build.detect.tree import SourceTree
from roost.model.build_plan import BuildPlan

_DIRECTORIES = ("", "public", "dist", "build", "out", "_site", "www", "site", "static", "html", "htdocs", "src", "docs")


def site_env(directory: str, *, single_page: bool) -> dict[str, str]:
    """Return the variables that tell the base image's caddy what to serve."""
    env = {"ROOST_SITE": posixpath.join("/app", directory).rstrip("/")}
    return env | {"ROOST_SITE_FALLBACK": "/index.html"} if single_page else env


def detect_static(tree: SourceTree) -> Candidate | None:
    """Return the plan for a static site, or None when no index.html is in a usual place."""
    found = _site(tree)
    if found is None:
        return None
    directory, why = found
    plan = BuildPlan(
        stack="static",
        framework="",
        evidence=(why, f"the files {'in ' + directory + '/ ' if directory else ''}are served by caddy"),
        base=bases.STATIC,
        env=site_env(directory, single_page=False),
        processes={"app": bases.STATIC_START},
        notes=()
        if directory
        else ("all files of the directory are served, except hidden settings: name the rest in .roostignore",),
    )
    return Candidate(Strength.FILES, plan)


def _site(tree: SourceTree) -> tuple[str, str] | None:
    """Return (directory, why); a Staticfile's `root` is taken as it is."""
    staticfile = tree.read("Staticfile")
    if staticfile is not None:
        root = re.search(r"^\s*root\s*:\s*[\"']?([A-Za-z0-9._/-]+)", staticfile, re.MULTILINE)
        directory = posixpath.normpath(root[1]) if root else ""
        if not directory.startswith(("..", "/")):
            return "" if directory == "." else directory, "Staticfile says that this is a static site"
    for directory in _DIRECTORIES:
        path = posixpath.join(directory, "index.html")
        if path in tree.paths:
            return directory, f"there is {path}"
    pages = sorted(path for path in tree.paths if path.endswith("/index.html") and path.count("/") == 1)
    return (pages[0].rpartition("/")[0], f"there is {pages[0]}") if len(pages) == 1 else None
