"""Node: the package tool, what is installed when, and how scripts are run."""

from __future__ import annotations

import json

import pytest

from roost.build.detect import DictTree, detect
from roost.build.detect.node_package import choose_installer, read_package
from roost.model.build_plan import BuildPlan
from roost.model.errors import BadInput


def tree(data: dict[str, object], **files: str) -> DictTree:
    return DictTree({"package.json": json.dumps(data)} | files)


def plan(data: dict[str, object], **files: str) -> BuildPlan:
    return detect(tree(data, **files))


SERVER: dict[str, object] = {"scripts": {"start": "node s.js"}, "dependencies": {"express": "4"}}


@pytest.mark.parametrize(
    ("extra", "files", "tool", "install"),
    [
        ({}, {}, "npm", "npm install --omit=dev"),
        ({}, {"package-lock.json": "{}"}, "npm", "npm ci --omit=dev"),
        ({}, {"yarn.lock": ""}, "yarn", "yarn install --frozen-lockfile"),
        ({}, {"yarn.lock": "", ".yarnrc.yml": ""}, "yarn", "yarn install --immutable"),
        ({}, {"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"}, "pnpm", "pnpm install --frozen-lockfile --prod"),
        ({}, {"bun.lock": ""}, "bun", "bun install --frozen-lockfile"),
        ({}, {"bun.lockb": ""}, "bun", "bun install --frozen-lockfile"),
        ({"packageManager": "pnpm@9.1.0+sha512.00"}, {"package-lock.json": "{}"}, "pnpm", "pnpm install --no-frozen"),
        ({"engines": {"yarn": "1"}}, {}, "yarn", "yarn install --no-lockfile"),
    ],
)
def test_the_package_tool(extra: dict[str, object], files: dict[str, str], tool: str, install: str) -> None:
    source = tree(SERVER | extra, **files)
    package = read_package(source)
    assert package is not None
    installer = choose_installer(source, package, development=False)
    assert installer.tool == tool
    assert install in installer.install


def test_the_version_of_the_tool_follows_the_lock_or_package_manager() -> None:
    old = plan(SERVER, **{"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"}).dependencies
    named = plan(SERVER | {"packageManager": "pnpm@9.1.0+sha512.ab"}).dependencies
    assert old is not None and old.commands[0].endswith("pnpm@8")
    assert named is not None and named.commands[0].endswith("pnpm@9.1.0")


def test_a_hostile_version_does_not_reach_the_shell() -> None:
    found = plan(SERVER | {"packageManager": "pnpm@9;reboot"}).dependencies
    assert found is not None
    assert not any("reboot" in command for command in found.commands)


def test_development_packages_are_there_when_something_is_built() -> None:
    found = plan(SERVER | {"scripts": {"start": "node dist/s.js", "build": "tsc"}}, **{"package-lock.json": "{}"})
    assert found.dependencies is not None
    assert "--include=dev" in found.dependencies.commands[-1]
    assert found.build_commands == ("npm run build",)


def test_install_scripts_of_the_project_run_with_its_source() -> None:
    found = plan(SERVER | {"scripts": {"start": "node s.js", "postinstall": "node scripts/x.js"}})
    assert found.dependencies is None
    assert any("npm install" in command for command in found.build_commands)


def test_husky_does_not_need_the_source() -> None:
    found = plan(SERVER | {"scripts": {"start": "node s.js", "prepare": "husky install"}})
    assert found.dependencies is not None
    assert "HUSKY=0" in found.dependencies.commands[-1]


def test_a_dependency_in_the_source_is_installed_with_it() -> None:
    assert plan(SERVER | {"dependencies": {"a": "file:./a"}}).dependencies is None


def test_workspaces_bring_their_manifests() -> None:
    found = plan(SERVER | {"workspaces": ["packages/*"]}, **{"packages/a/package.json": "{}", "packages/a/x.js": ""})
    assert found.dependencies is not None
    assert found.dependencies.files == ("package.json", "packages/a/package.json")


def test_the_start_script_runs_without_npm_unless_it_leans_on_it() -> None:
    assert plan(SERVER).processes["app"] == "node s.js"
    assert plan(SERVER | {"scripts": {"start": "node s.js", "prestart": "x"}}).processes["app"] == "npm run start"
    assert plan(SERVER | {"scripts": {"start": "echo $npm_package_version"}}).processes["app"] == "npm run start"


def test_a_package_file_without_anything_to_start_says_so() -> None:
    found = plan({"devDependencies": {"prettier": "3"}})
    assert not found.buildable
    assert "start script" in found.obstacle


@pytest.mark.parametrize("text", ["{", "[]", '{"a": }'])
def test_a_broken_package_file_is_named(text: str) -> None:
    with pytest.raises(BadInput, match=r"package\.json"):
        detect(DictTree({"package.json": text}))


def test_strange_types_in_a_package_file_are_survived() -> None:
    found = plan(
        {"scripts": [], "dependencies": {"express": 4, "pg": "8"}, "main": 3, "packageManager": 1, "engines": 2}
    )
    assert found.needs == ("postgres",)


def test_services_are_inferred() -> None:
    found = plan(
        {"scripts": {"start": "x"}, "dependencies": {"ioredis": "1", "@aws-sdk/client-s3": "3", "prisma": "5"}},
        **{"prisma/schema.prisma": 'datasource db {\n  provider = "postgresql"\n}'},
    )
    assert set(found.needs) == {"redis", "bucket", "postgres"}


def test_an_output_directory_outside_the_source_is_not_taken() -> None:
    found = plan(
        {"devDependencies": {"vite": "5"}}, **{"index.html": "", "vite.config.js": "build: {outDir: '../../etc'}"}
    )
    assert found.env["ROOST_SITE"] == "/app/dist"
