"""Node frameworks: how each is built, and whether the result is a program or files to serve. Pure.

A table for the simple ones; a function each where the project's own settings decide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from roost.build.detect.node_package import NodePackage
from roost.build.detect.tree import SourceTree


@dataclass(frozen=True, slots=True)
class Framework:
    """A recognised framework. Exactly one of `start`, `site` and `obstacle` is set, or none: the scripts decide."""

    name: str
    why: str
    build: str = ""  # used when package.json has no build script
    start: str = ""  # the production server
    site: str = ""  # directory of built files to serve
    single_page: bool = False  # unknown paths get index.html
    after_build: tuple[str, ...] = ()
    build_env: tuple[str, ...] = ()
    insist: bool = False  # `start` is right even when package.json has another start script
    obstacle: str = ""


def recognise(tree: SourceTree, package: NodePackage) -> Framework | None:
    """Return the framework that decides how the project is built and started, or None."""
    for detect in _DETECTORS:
        if found := detect(tree, package):
            return found
    for names, framework in _SIMPLE:
        if package.has(*names):
            return framework
    return None


def config_text(tree: SourceTree, stem: str) -> str:
    """Return the text of `stem`.js, .mjs, .cjs, .ts or .mts without comments, or ""."""
    for suffix in ("js", "mjs", "ts", "cjs", "mts"):
        if (text := tree.read(f"{stem}.{suffix}")) is not None:
            return re.sub(r"/\*.*?\*/|(?<![:'\"])//[^\n]*", "", text, flags=re.DOTALL)
    return ""


def setting(text: str, key: str) -> str:
    """Return the string that a settings file gives to `key`, or ""."""
    found = re.search(rf"\b{key}\s*:\s*['\"`]([^'\"`\n]{{1,200}})['\"`]", text)
    return found[1] if found else ""


def safe_directory(directory: str, default: str) -> str:
    """Return a directory below the source as a plain relative path; anything else is the default."""
    cleaned = directory.removeprefix("./").strip("/")
    plain = re.fullmatch(r"[A-Za-z0-9._/@-]+", cleaned) and ".." not in cleaned.split("/")
    return cleaned if plain else default


def _next(tree: SourceTree, package: NodePackage) -> Framework | None:
    if not package.has("next"):
        return None
    output = setting(config_text(tree, "next.config"), "output")
    build = "npx next build"
    if output == "export":
        return Framework("next", "next.config sets output: export", build, site="out")
    if output == "standalone":
        copy = (
            "if [ -d public ]; then cp -r public .next/standalone/; fi",
            "mkdir -p .next/standalone/.next && cp -r .next/static .next/standalone/.next/",
        )
        start = "env HOSTNAME=0.0.0.0 node .next/standalone/server.js"
        return Framework("next", "next.config sets output: standalone", build, start=start, after_build=copy)
    return Framework("next", "package.json names next", build, start="next start -H 0.0.0.0 -p $PORT")


def _nuxt(_tree: SourceTree, package: NodePackage) -> Framework | None:
    if not package.has("nuxt", "nuxt3"):
        return None
    if "generate" in package.scripts.get("build", ""):
        return Framework("nuxt", "the build script generates files", site=".output/public")
    return Framework("nuxt", "package.json names nuxt", "npx nuxt build", start="node .output/server/index.mjs")


def _sveltekit(tree: SourceTree, package: NodePackage) -> Framework | None:
    if not package.has("@sveltejs/kit"):
        return None
    if package.has("@sveltejs/adapter-static"):
        text = config_text(tree, "svelte.config")
        fallback = bool(setting(text, "fallback"))
        site = safe_directory(setting(text, "pages"), "build")
        return Framework("sveltekit", "adapter-static writes files", "npx vite build", site=site, single_page=fallback)
    if package.has("@sveltejs/adapter-node"):
        return Framework("sveltekit", "adapter-node makes a server", "npx vite build", start="node build")
    return Framework(
        "sveltekit",
        "adapter-auto is told to make a Node server (it looks at the variable GCP_BUILDPACKS)",
        "npx vite build",
        start="node build",
        build_env=("GCP_BUILDPACKS=1",),
    )


def _astro(tree: SourceTree, package: NodePackage) -> Framework | None:
    if not package.has("astro"):
        return None
    if package.has("@astrojs/node"):
        start = "env HOST=0.0.0.0 node ./dist/server/entry.mjs"
        return Framework("astro", "package.json names @astrojs/node", "npx astro build", start=start)
    site = safe_directory(setting(config_text(tree, "astro.config"), "outDir"), "dist")
    return Framework("astro", "package.json names astro", "npx astro build", site=site)


def _react_router(tree: SourceTree, package: NodePackage) -> Framework | None:
    if not package.has("@react-router/dev"):
        return None
    if re.search(r"\bssr\s*:\s*false", config_text(tree, "react-router.config")):
        why = "react-router.config sets ssr: false"
        return Framework("react-router", why, "npx react-router build", site="build/client", single_page=True)
    start = "react-router-serve ./build/server/index.js" if package.has("@react-router/serve") else ""
    return Framework("react-router", "package.json names @react-router/dev", "npx react-router build", start=start)


def _angular(tree: SourceTree, package: NodePackage) -> Framework | None:
    if not package.has("@angular/core"):
        return None
    try:
        workspace = json.loads(tree.read("angular.json") or "{}")
        projects = workspace["projects"]
        name = workspace.get("defaultProject") or next(iter(projects))
        build = projects[name]["architect"]["build"]
        options, builder = build.get("options", {}), str(build.get("builder", ""))
    except (ValueError, KeyError, StopIteration, TypeError, AttributeError, RecursionError):
        return None
    output = options.get("outputPath", f"dist/{name}")
    base = output.get("base", f"dist/{name}") if isinstance(output, dict) else str(output)
    base = safe_directory(str(base), "dist")
    modern = builder.endswith((":application", ":browser-esbuild"))
    if options.get("ssr") and options.get("outputMode") != "static":
        return Framework("angular", "angular.json has ssr", "npx ng build", start=f"node {base}/server/server.mjs")
    site = f"{base}/browser" if modern and builder.endswith(":application") else base
    return Framework("angular", "package.json names @angular/core", "npx ng build", site=site, single_page=True)


def _vite(tree: SourceTree, package: NodePackage) -> Framework | None:
    """A Vite front end: files to serve, unless a start script runs a server of the project's own."""
    if not package.has("vite") or not ("index.html" in tree.paths or config_text(tree, "vite.config")):
        return None
    start = package.scripts.get("start", "")
    if start and not re.match(r"\s*(?:npx )?vite\b|\s*(?:npm|yarn|pnpm|bun)(?: run)? (?:dev|preview)\b", start):
        return None
    if package.production & {"express", "fastify", "koa", "hono", "@hono/node-server"} and package.main:
        return None
    text = config_text(tree, "vite.config")
    return Framework(
        "vite",
        "package.json names vite",
        "npx vite build",
        site=safe_directory(setting(text, "outDir"), "dist"),
        single_page=setting(text, "appType") != "mpa",
    )


def _nest(_tree: SourceTree, package: NodePackage) -> Framework | None:
    if not package.has("@nestjs/core"):
        return None
    script = package.scripts.get("start:prod", "")
    return Framework(
        "nest", "package.json names @nestjs/core", "npx nest build", start=script or "node dist/main", insist=True
    )


def _remix(_tree: SourceTree, package: NodePackage) -> Framework | None:
    if not package.has("@remix-run/node", "@remix-run/react", "remix"):
        return None
    start = "" if "start" in package.scripts else "remix-serve ./build/server/index.js"
    return Framework("remix", "package.json names @remix-run", "npx remix vite:build", start=start)


_Detector = Callable[[SourceTree, NodePackage], Framework | None]
_DETECTORS: tuple[_Detector, ...] = (_next, _nuxt, _sveltekit, _react_router, _remix, _astro, _angular, _nest)
_METEOR = "Meteor builds with its own tool, which no registry carries: write a Dockerfile that runs the bundle"
_REDWOOD = "Redwood has a web and an api side: write a Dockerfile (yarn rw setup docker makes one)"
_SIMPLE: tuple[tuple[tuple[str, ...], Framework], ...] = (
    (("meteor-node-stubs",), Framework("meteor", "package.json names meteor-node-stubs", obstacle=_METEOR)),
    (("@redwoodjs/core",), Framework("redwood", "package.json names @redwoodjs/core", obstacle=_REDWOOD)),
    (("gatsby",), Framework("gatsby", "package.json names gatsby", "npx gatsby build", site="public")),
    (("@docusaurus/core",), Framework("docusaurus", "package.json names docusaurus", "npx docusaurus build",
                                      site="build")),
    (("vitepress",), Framework("vitepress", "package.json names vitepress", "", site=".vitepress/dist")),
    (("@11ty/eleventy",), Framework("eleventy", "package.json names eleventy", "npx @11ty/eleventy", site="_site")),
    (("react-scripts",), Framework("create-react-app", "package.json names react-scripts", "npx react-scripts build",
                                   site="build", single_page=True)),
    (("@vue/cli-service",), Framework("vue-cli", "package.json names @vue/cli-service", "npx vue-cli-service build",
                                      site="dist", single_page=True)),
    (("@adonisjs/core",), Framework("adonis", "package.json names @adonisjs/core", "node ace build",
                                    start="env HOST=0.0.0.0 node build/bin/server.js", insist=True)),
    (("@tanstack/react-start", "@tanstack/start"), Framework("tanstack-start", "package.json names tanstack start",
                                                             "npx vite build", start="node .output/server/index.mjs")),
    (("@solidjs/start",), Framework("solid-start", "package.json names @solidjs/start", "npx vinxi build",
                                    start="node .output/server/index.mjs")),
    (("expo",), Framework("expo", "package.json names expo", "npx expo export --platform web", site="dist",
                          single_page=True)),
    (("parcel",), Framework("parcel", "package.json names parcel", "npx parcel build index.html", site="dist")),
    (("ember-cli",), Framework("ember", "package.json names ember-cli", "npx ember build -prod", site="dist",
                               single_page=True)),
)  # fmt: skip
_DETECTORS += (_vite,)

SERVERS = (
    "express", "fastify", "koa", "@hapi/hapi", "hono", "@hono/node-server", "restify", "polka", "h3", "elysia",
    "@feathersjs/feathers", "apollo-server", "@apollo/server", "socket.io", "ws", "json-server", "strapi",
    "@strapi/strapi", "ghost", "@keystone-6/core", "payload", "probot",
)  # fmt: skip
