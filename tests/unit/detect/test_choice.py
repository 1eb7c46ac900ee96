"""Several stacks in one directory, Dockerfiles, Procfiles and roost.toml: who has the last word."""

from __future__ import annotations

import pytest

from roost.build.detect import DictTree, detect
from roost.build.detect.dockerfile import exposed_port
from roost.model.app_config import AppConfig, BuildSettings, DeploySettings
from roost.model.errors import BadInput

FLASK = {"app.py": "from flask import Flask\napp = Flask(__name__)\n", "requirements.txt": "flask\ngunicorn\n"}
EXPRESS = {"package.json": '{"scripts": {"start": "node s.js"}, "dependencies": {"express": "4"}}', "s.js": ""}
TOOLING = {"package.json": '{"scripts": {"build": "tailwindcss"}, "devDependencies": {"tailwindcss": "3"}}'}


def test_a_python_server_with_package_json_for_assets_is_python() -> None:
    assert detect(DictTree(FLASK | TOOLING)).stack == "python"


def test_two_servers_are_python_and_the_other_is_named() -> None:
    plan = detect(DictTree(FLASK | EXPRESS))
    assert plan.stack == "python"
    assert any('builtin = "node"' in note for note in plan.notes)


def test_a_node_server_with_a_python_script_is_node() -> None:
    assert detect(DictTree(EXPRESS | {"main.py": "print(1)", "requirements.txt": "numpy"})).stack == "node"


def test_tooling_next_to_a_page_is_a_static_site() -> None:
    tooling = {"package.json": '{"devDependencies": {"prettier": "3"}}'}
    assert detect(DictTree({"index.html": ""} | tooling)).stack == "static"


def test_a_gemfile_for_tooling_does_not_make_a_ruby_app() -> None:
    assert detect(DictTree(EXPRESS | {"Gemfile": "gem 'fastlane'\n"})).stack == "node"


def test_laravel_with_vite_is_php() -> None:
    files = {"composer.json": '{"require": {"laravel/framework": "^11"}}', "artisan": "", "public/index.php": ""}
    vite = {
        "package.json": '{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "5"}}',
        "vite.config.js": " ",
    }
    assert detect(DictTree(files | vite)).stack == "php"


def test_a_dockerfile_wins_unless_roost_toml_says_otherwise() -> None:
    files = DictTree(FLASK | {"Dockerfile": "FROM x\n"})
    assert detect(files).stack == "dockerfile"
    assert detect(files, AppConfig(build=BuildSettings(builtin="python"))).stack == "python"


def test_roost_toml_names_a_dockerfile() -> None:
    files = DictTree(FLASK | {"Dockerfile": "FROM x\n", "deploy/Dockerfile": "FROM x\nEXPOSE 5000\n"})
    plan = detect(files, AppConfig(build=BuildSettings(dockerfile="deploy/Dockerfile")))
    assert (plan.dockerfile, plan.port) == ("deploy/Dockerfile", 5000)
    with pytest.raises(BadInput, match="there is no other"):
        detect(files, AppConfig(build=BuildSettings(dockerfile="other")))


def test_roost_toml_names_an_image() -> None:
    plan = detect(DictTree({}), AppConfig(build=BuildSettings(image="redis:7")))
    assert (plan.stack, plan.base, plan.buildable) == ("image", "redis:7", True)


def test_a_procfile_overrides_the_start_command() -> None:
    procfile = "# c\nrelease: ./migrate\nworker: celery -A x\nweb: gunicorn -w 3 app:app\n"
    plan = detect(DictTree(FLASK | {"Procfile": procfile}))
    assert plan.processes == {"app": "gunicorn -w 3 app:app", "worker": "celery -A x"}
    assert plan.release_command == "./migrate"
    assert plan.env["GUNICORN_CMD_ARGS"] == "--timeout=0"


def test_a_procfile_without_web_starts_its_first_entry() -> None:
    assert detect(DictTree(FLASK | {"Procfile": "bot: python bot.py"})).processes == {"app": "python bot.py"}


def test_a_procfile_makes_up_for_a_missing_start() -> None:
    plan = detect(DictTree({"requirements.txt": "numpy", "Procfile": "web: python lib/serve.py"}))
    assert plan.buildable and not plan.obstacle
    assert plan.processes == {"app": "python lib/serve.py"}


def test_no_server_is_added_to_a_procfile_app() -> None:
    files = {
        "app.py": FLASK["app.py"],
        "requirements.txt": "flask\nwaitress",
        "Procfile": "web: waitress-serve app:app",
    }
    plan = detect(DictTree(files))
    assert plan.dependencies is not None
    assert not any("gunicorn" in command for command in plan.dependencies.commands)


def test_roost_toml_overrides_the_procfile() -> None:
    config = AppConfig(processes={"app": "python x.py"}, deploy=DeploySettings(release_command="y"))
    plan = detect(DictTree(FLASK | {"Procfile": "web: a\nrelease: b"}), config)
    assert plan.processes == {"app": "python x.py"}
    assert plan.release_command == "y"


def test_nothing_found_lists_what_was_looked_for_and_where_it_may_be() -> None:
    with pytest.raises(BadInput, match=r"requirements\.txt.*package\.json.*go\.mod") as error:
        detect(DictTree({"README.md": "", "backend/requirements.txt": "flask"}))
    assert "backend" in error.value.hint


def test_an_empty_directory_is_called_empty() -> None:
    with pytest.raises(BadInput, match="empty"):
        detect(DictTree({}))


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("FROM a\nEXPOSE 80", 80),
        ("FROM a\nARG P=5000\nEXPOSE $P", 5000),
        ("FROM a\nENV PORT 9000\nEXPOSE ${PORT}/tcp 1", 9000),
        ("FROM a\nEXPOSE ${X:-7000}", 7000),
        ("FROM a\nEXPOSE 53/udp \\\n  8053", 8053),
        ("FROM a AS build\nEXPOSE 1\nFROM b\n", 0),
        ("FROM a\n# EXPOSE 80\n", 0),
        ("FROM a\nEXPOSE 99999", 0),
    ],
)
def test_the_port_that_a_dockerfile_exposes(text: str, port: int) -> None:
    assert exposed_port(text) == port


def test_the_port_of_a_chosen_stage() -> None:
    assert exposed_port("FROM a AS web\nEXPOSE 1000\nFROM b AS job\nEXPOSE 2000\n", "web") == 1000
