"""Detects PHP apps: Laravel, Symfony and plain PHP, served by Apache with mod_php. Pure."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from roost.build.detect import bases
from roost.build.detect.candidate import Candidate, Story, Strength
from roost.build.detect.needs import PHP, needed
from roost.build.detect.tree import SourceTree
from roost.model.build_plan import BuildPlan, Dependencies
from roost.model.errors import BadInput

_ROOTS = ("public", "web", "webroot", "pub", "htdocs", "html", "www", "")
_INSTALL = "composer install --no-dev --no-interaction --no-scripts --no-autoloader --prefer-dist"
_FRAMEWORKS = (
    ("laravel/framework", "laravel"), ("symfony/framework-bundle", "symfony"), ("slim/slim", "slim"),
    ("codeigniter4/framework", "codeigniter"), ("cakephp/cakephp", "cakephp"), ("yiisoft/yii2", "yii"),
    ("drupal/core", "drupal"), ("drupal/core-recommended", "drupal"),
)  # fmt: skip


def detect_php(tree: SourceTree) -> Candidate | None:
    """Return the plan for a PHP app, or None; raises BadInput when composer.json can't be read."""
    composer = _read_composer(tree)
    root = next((r for r in _ROOTS if posixpath.join(r, "index.php") in tree.paths), None)
    if composer is None and root is None:
        return None
    story = Story()
    required = _table(composer, "require")
    framework = next((name for package, name in _FRAMEWORKS if package in required), "")
    if framework == "laravel" and "artisan" not in tree.paths:
        framework = ""  # a package for Laravel, not an app
    if "wp-config.php" in tree.paths or "wp-settings.php" in tree.paths:
        framework = framework or "wordpress"
    dependencies, build = _steps(tree, composer, framework, story)
    needed(required, PHP, "composer.json", story)
    _dotenv_needs(tree, story)
    if root is not None:
        story.found(f"{posixpath.join(root, 'index.php')} is served by Apache with mod_php")
    elif not story.evidence:
        story.found("composer.json is there")
    obstacle = "" if root is not None else _nothing()
    env = {"ROOST_DOCUMENT_ROOT": posixpath.join("/app", root or "").rstrip("/"), "COMPOSER_ALLOW_SUPERUSER": "1"}
    secret = {"laravel": "APP_KEY", "symfony": "APP_SECRET"}.get(framework, "")
    if secret:
        story.tell(f"{framework} needs {secret}: the first deploy sets it to a random value, unless it is set")
    if framework == "laravel":
        env |= {"APP_ENV": "production", "LOG_CHANNEL": "stderr"}
    if framework == "symfony":
        env |= {"APP_ENV": "prod", "APP_DEBUG": "0"}
    obstacle = obstacle or _version_obstacle(required)
    plan = BuildPlan(
        stack="php",
        framework=framework,
        evidence=tuple(story.evidence),
        base=bases.PHP,
        dependencies=dependencies,
        build_commands=build,
        env=env,
        processes={"app": bases.APACHE_START} if root is not None else {},
        release_command="php artisan migrate --force" if framework == "laravel" and _server_database(story) else "",
        needs=tuple(story.needs),
        notes=tuple(story.notes),
        generated_secrets=(secret,) if secret else (),
        buildable=not obstacle,
        obstacle=obstacle,
    )
    strength = Strength.SERVER if framework else Strength.PROGRAM
    return Candidate(strength if root is not None else Strength.MANIFEST, plan)


def _read_composer(tree: SourceTree) -> Mapping[str, Any] | None:
    text = tree.read("composer.json")
    if text is None:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"composer.json is not valid JSON: {error}", hint="correct the file") from None
    return data if isinstance(data, dict) else {}


def _table(data: Mapping[str, Any] | None, key: str) -> dict[str, Any]:
    value = (data or {}).get(key)
    return value if isinstance(value, dict) else {}


def _steps(
    tree: SourceTree, composer: Mapping[str, Any] | None, framework: str, story: Story
) -> tuple[Dependencies | None, tuple[str, ...]]:
    """Return how composer's packages are installed and what is run when the source is there."""
    packages = [name for name in _table(composer, "require") if "/" in name]
    if composer is None or not (packages or _table(composer, "autoload")):
        return None, ()
    story.found("composer.json: packages are installed by composer" + (f"; it names {framework}" if framework else ""))
    build = ["composer dump-autoload --no-dev --optimize --no-interaction"]
    if framework == "laravel":
        build += [
            "mkdir -p storage/framework/cache storage/framework/sessions storage/framework/views storage/logs",
            "mkdir -p bootstrap/cache && chown -R www-data:www-data storage bootstrap/cache",
        ]
        if "package.json" in tree.paths and not any(path.startswith("public/build/") for path in tree.paths):
            story.tell("package.json builds assets, which is not done here: commit public/build, or write a Dockerfile")
    if not packages:
        return None, tuple(build)
    files = tuple(
        path for path in ("composer.json", "composer.lock", "symfony.lock", "auth.json") if path in tree.paths
    )
    if "composer.lock" not in tree.paths:
        story.tell("there is no composer.lock: commit it, so that each build gets the same packages")
    return Dependencies(files, (_INSTALL,), ("/root/.cache/composer",)), tuple(build)


def _dotenv_needs(tree: SourceTree, story: Story) -> None:
    """Read the services from .env.example, where Laravel apps name them."""
    text = tree.read(".env.example") or tree.read(".env") or ""
    if found := re.search(r"^DB_CONNECTION=(pgsql|mysql|mariadb)\b", text, re.MULTILINE):
        story.need("postgres" if found[1] == "pgsql" else "mysql", f".env.example has DB_CONNECTION={found[1]}")
    if found := re.search(r"^(?:CACHE_STORE|CACHE_DRIVER|SESSION_DRIVER|QUEUE_CONNECTION)=redis\b", text, re.MULTILINE):
        story.need("redis", f".env.example has {found[0]}")
    if re.search(r"^FILESYSTEM_(?:DISK|DRIVER)=s3\b", text, re.MULTILINE):
        story.need("bucket", ".env.example keeps files in s3")


def _server_database(story: Story) -> bool:
    return bool({"postgres", "mysql"} & set(story.needs))


def _nothing() -> str:
    places = ", ".join(posixpath.join(root, "index.php") for root in _ROOTS)
    return f"there is no {places}: name the start command in a Procfile or in [processes] of roost.toml"


def _version_obstacle(required: Mapping[str, Any]) -> str:
    """Say so when composer.json demands a newer PHP than the base image's (composer would refuse)."""
    lowest = re.match(r"\s*(?:\^|~|>=)?\s*(\d+)\.(\d+)", str(required.get("php", "")))
    have = bases.PHP_VERSION
    if "|" in str(required.get("php", "")) or not lowest or (int(lowest[1]), int(lowest[2])) <= have:
        return ""
    demanded = f"{lowest[1]}.{lowest[2]}"
    return f"composer.json demands PHP {demanded} and the base image has {have[0]}.{have[1]}: write a Dockerfile"
