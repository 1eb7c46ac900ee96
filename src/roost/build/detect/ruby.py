"""Detects Ruby apps: Rails, Sinatra and whatever rackup serves, from the Gemfile and its lock. Pure."""

from __future__ import annotations

import re

from roost.build.detect import bases
from roost.build.detect.candidate import Candidate, Story, Strength
from roost.build.detect.needs import RUBY, needed
from roost.build.detect.static import site_env
from roost.build.detect.tree import SourceTree
from roost.model.build_plan import BuildPlan, Dependencies

_GEM = re.compile(r"""^\s*gem\s*\(?\s*["']([A-Za-z0-9_.-]+)["']""", re.MULTILINE)
_LOCKED = re.compile(r"^ {4}([A-Za-z0-9_.-]+) \(", re.MULTILINE)
_RUBY = re.compile(r"""^\s*ruby\s*\(?\s*["']\s*(~>|>=|=)?\s*(\d+)\.(\d+)""", re.MULTILINE)
_FRAMEWORKS = ("rails", "sinatra", "hanami", "roda", "grape", "padrino", "cuba", "syro", "rack")
_SCRIPTS = ("app.rb", "main.rb", "server.rb", "web.rb")
_ENV = {"BUNDLE_PATH": "/opt/bundle", "BUNDLE_WITHOUT": "development:test", "RACK_ENV": "production", "LANG": "C.UTF-8"}
_NOTHING_TO_START = (
    "no config.ru, no Rails app and no script such as app.rb was found: "
    "name the start command in a Procfile or in [processes] of roost.toml"
)


def detect_ruby(tree: SourceTree) -> Candidate | None:
    """Return the plan for a Ruby app, or None."""
    gemfile = tree.read("Gemfile")
    script = next((name for name in _SCRIPTS if name in tree.paths), "")
    if gemfile is None and "config.ru" not in tree.paths and not script:
        return None
    story = Story()
    direct = set(_GEM.findall(gemfile or ""))
    gems = direct | set(_LOCKED.findall(tree.read("Gemfile.lock") or ""))
    framework = _framework(tree, direct, gems)
    if gemfile is not None:
        story.found("Gemfile: gems are installed by bundler" + (f"; it names {framework}" if framework else ""))
        if "Gemfile.lock" not in tree.paths:
            story.tell("there is no Gemfile.lock: run bundle lock, so that each build gets the same gems")
    start = _start(tree, framework, gems, script, bundled=gemfile is not None, story=story)
    needed(gems, RUBY, "Gemfile.lock" if "Gemfile.lock" in tree.paths else "Gemfile", story)
    rails = _rails(tree, story) if framework == "rails" else {}
    obstacle = _version_obstacle(gemfile or "") or ("" if start else _NOTHING_TO_START)
    dependencies = None
    if gemfile is not None:
        files = tuple(p for p in ("Gemfile", "Gemfile.lock", ".ruby-version", ".tool-versions") if p in tree.paths)
        dependencies = Dependencies(files, ("bundle install --jobs 4 --retry 3",), ("/root/.bundle/cache",))
    build: tuple[str, ...] = ()
    if framework == "rails" and _names_assets(tree, gems):
        build = ("env SECRET_KEY_BASE_DUMMY=1 SECRET_KEY_BASE=roost-build-only bundle exec rails assets:precompile",)
        story.found("assets are compiled at build")
    if framework == "jekyll":
        build = ("bundle exec jekyll build",)
    plan = BuildPlan(
        stack="ruby",
        framework=framework,
        evidence=tuple(story.evidence),
        base=bases.RUBY,
        dependencies=dependencies,
        build_commands=build,
        env=_ENV | rails | (site_env("_site", single_page=False) if framework == "jekyll" else {}),
        processes={"app": start} if start else {},
        release_command="bundle exec rails db:migrate" if rails and _has_database(gems) else "",
        needs=tuple(story.needs),
        notes=tuple(story.notes),
        generated_secrets=("SECRET_KEY_BASE",) if rails and "RAILS_MASTER_KEY" not in " ".join(story.notes) else (),
        buildable=not obstacle,
        obstacle=obstacle,
    )
    strength = Strength.SERVER if framework and start else Strength.PROGRAM if start else Strength.MANIFEST
    return Candidate(strength, plan)


def _framework(tree: SourceTree, direct: set[str], gems: set[str]) -> str:
    if "rails" in gems and ("config/application.rb" in tree.paths or "bin/rails" in tree.paths):
        return "rails"
    if "jekyll" in direct or "github-pages" in direct:
        return "jekyll"
    return next((name for name in _FRAMEWORKS[1:] if name in direct), "rack" if "config.ru" in tree.paths else "")


def _start(tree: SourceTree, framework: str, gems: set[str], script: str, *, bundled: bool, story: Story) -> str:
    """Return the start command, or ""."""
    execute = "bundle exec " if bundled else ""
    if framework == "rails":
        story.found("config/application.rb: the Rails server is started")
        return f"{execute}rails server -b 0.0.0.0 -p $PORT"
    if framework == "jekyll":
        story.found("the site that Jekyll builds in _site/ is served by caddy")
        return bases.STATIC_START
    if "config.ru" in tree.paths:
        if not bundled or "puma" in gems:
            story.found("config.ru is served by puma")
            if bundled and "config/puma.rb" in tree.paths:
                return f"{execute}puma -C config/puma.rb -b tcp://0.0.0.0:$PORT"
            return f"{execute}puma -b tcp://0.0.0.0:$PORT config.ru"
        story.found("config.ru is served by rackup")
        return f"{execute}rackup --host 0.0.0.0 --port $PORT"
    if script:
        story.found(f"{script} is started as a script")
        arguments = " -o 0.0.0.0 -p $PORT" if framework == "sinatra" else ""
        return f"{execute}ruby {script}{arguments}"
    return ""


def _rails(tree: SourceTree, story: Story) -> dict[str, str]:
    """Return the environment of a Rails app in production; notes the key of its credentials."""
    if "config/credentials.yml.enc" in tree.paths and "config/master.key" not in tree.paths:
        story.tell("the credentials are encrypted: roost secrets set RAILS_MASTER_KEY=... (it is in config/master.key)")
    else:
        story.tell("Rails needs SECRET_KEY_BASE: the first deploy sets it to a random value, unless it is set")
    if "action_cable" in (tree.read("config/application.rb") or "") or "adapter: redis" in (
        tree.read("config/cable.yml") or ""
    ):
        story.need("redis", "config/cable.yml uses redis")
    database = tree.read("config/database.yml") or ""
    for adapter, service in (("postgresql", "postgres"), ("mysql2", "mysql"), ("trilogy", "mysql")):
        if re.search(rf"^\s*adapter:\s*{adapter}", database, re.MULTILINE):
            story.need(service, f"config/database.yml has the adapter {adapter}")
    return {"RAILS_ENV": "production", "RAILS_LOG_TO_STDOUT": "1", "RAILS_SERVE_STATIC_FILES": "1"}


def _names_assets(tree: SourceTree, gems: set[str]) -> bool:
    pipelines = {"sprockets-rails", "propshaft", "sprockets", "vite_rails", "jsbundling-rails", "cssbundling-rails"}
    return bool(gems & pipelines) and any(path.startswith("app/assets/") for path in tree.paths)


def _has_database(gems: set[str]) -> bool:
    return bool(gems & {"pg", "mysql2", "trilogy"})


def _version_obstacle(gemfile: str) -> str:
    """Say so when the Gemfile demands a Ruby that the base image does not have (bundler would refuse)."""
    demanded = _RUBY.search(gemfile)
    if not demanded:
        return ""
    operator, wanted = demanded[1] or "=", (int(demanded[2]), int(demanded[3]))
    have = bases.RUBY_VERSION
    fits = (
        have >= wanted
        if operator == ">="
        else have[0] == wanted[0] and have[1] >= wanted[1]
        if operator == "~>"
        else have == wanted
    )
    if fits:
        return ""
    return (
        f"the Gemfile demands Ruby {wanted[0]}.{wanted[1]} and the base image has {have[0]}.{have[1]}: "
        "relax the line `ruby`, or write a Dockerfile"
    )
