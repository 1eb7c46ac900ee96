"""Python: the application object is found by parsing, dependencies by reading every format."""

from __future__ import annotations

import pytest

from roost.build.detect import DictTree, detect
from roost.build.detect.python_packages import python_packages, requirement_lines
from roost.model.errors import BadInput

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FACTORY = "from flask import Flask\ndef create_app():\n    return Flask('x')\n"


def start(files: dict[str, str]) -> str:
    return detect(DictTree(files)).processes["app"]


@pytest.mark.parametrize(
    ("files", "target"),
    [
        ({"hello.py": FLASK}, "hello:app"),
        ({"web/site.py": "import flask as f\nsite: f.Flask = f.Flask('x')\n", "web/__init__.py": ""}, "web.site:site"),
        ({"src/shop/__init__.py": "", "src/shop/main.py": FLASK}, "shop.main:app"),
        ({"shop/__init__.py": FACTORY.replace("()", "(config=None)", 1)},
         "'shop:create_app()'"),
        ({"shop/__init__.py": FACTORY,
          "wsgi.py": "from shop import create_app\napplication = create_app()\n"}, "wsgi:application"),
        ({"shop/__init__.py": FACTORY + "app = create_app()\n"},
         "shop:app"),
        ({"shop/core.py": FLASK, "shop/__init__.py": "", "wsgi.py": "from shop.core import app\n"}, "wsgi:app"),
        ({"backend/main.py": FLASK + "from models import X\n", "backend/models.py": ""}, "main:app"),
        ({"backend/main.py": FLASK + "from backend.models import X\n", "backend/models.py": ""}, "backend.main:app"),
        ({"app.py": "try:\n  from flask import Flask\nexcept ImportError:\n  raise\nif 1:\n  server = Flask('x')\n"},
         "app:server"),
        ({"app.py": FLASK, "tests/app.py": FLASK, "docs/conf.py": FLASK}, "app:app"),
        ({"app.py": "# Flask(\nimport sys\n", "real.py": FLASK}, "real:app"),
    ],
)  # fmt: skip
def test_the_application_object_is_found_where_it_is(files: dict[str, str], target: str) -> None:
    assert start(files | {"requirements.txt": "flask\ngunicorn"}).split()[-1] == target


def test_the_import_root_is_on_the_path() -> None:
    plan = detect(
        DictTree({"backend/main.py": FLASK + "import models\n", "backend/models.py": "", "requirements.txt": "flask"})
    )
    assert plan.env["PYTHONPATH"] == "/app/backend"


def test_a_factory_with_required_arguments_is_not_served() -> None:
    files = {
        "app.py": "from flask import Flask\ndef create_app(config):\n    return Flask('x')\n",
        "requirements.txt": "flask",
    }
    assert start(files) == "python app.py"


def test_an_object_made_only_under_main_is_not_served_by_a_server() -> None:
    files = {
        "app.py": "from flask import Flask\nif __name__ == '__main__':\n    app = Flask('x')\n    app.run(port=5001)\n"
    }
    plan = detect(DictTree(files | {"requirements.txt": "flask"}))
    assert plan.processes["app"] == "python app.py"
    assert plan.port == 5001


def test_a_name_that_only_contains_a_framework_is_not_the_framework() -> None:
    """The field's known fault: a substring of a dependency file counted as a dependency."""
    plan = detect(DictTree({"main.py": "print(1)\n", "requirements.txt": "flask-like-thing\n# django\ndjangofoo==1\n"}))
    assert plan.framework == ""


def test_a_server_is_added_and_said_when_there_is_none() -> None:
    plan = detect(
        DictTree({"main.py": "from fastapi import FastAPI\napp = FastAPI()\n", "requirements.txt": "fastapi"})
    )
    assert plan.dependencies is not None
    assert plan.dependencies.commands[-1] == "uv pip install --python /opt/venv/bin/python uvicorn"
    assert any("uvicorn was added" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("hypercorn", "hypercorn --bind 0.0.0.0:$PORT main:app"),
        ("granian", "granian --interface asgi --host 0.0.0.0 --port $PORT main:app"),
        ("daphne", "daphne -b 0.0.0.0 -p $PORT main:app"),
    ],
)
def test_the_projects_own_server_is_used(server: str, expected: str) -> None:
    files = {"main.py": "from fastapi import FastAPI\napp = FastAPI()\n", "requirements.txt": f"fastapi\n{server}\n"}
    assert start(files) == expected
    assert not any("added" in note for note in detect(DictTree(files)).notes)


def test_gunicorn_does_not_kill_workers_that_slept() -> None:
    plan = detect(DictTree({"app.py": FLASK, "requirements.txt": "flask\ngunicorn"}))
    assert plan.env["GUNICORN_CMD_ARGS"] == "--timeout=0"


def test_requirement_files_are_followed_and_lines_joined() -> None:
    tree = DictTree(
        {
            "requirements.txt": "-r requirements/base.txt\n-i https://x\nFlask[async] == 3.0 \\\n  --hash=sha256:00\n",
            "requirements/base.txt": "-r ../requirements.txt\npsycopg2_Binary>=2 ; python_version > '3'  # db\n",
        }
    )
    packages = python_packages(tree)
    assert packages.names == {"flask", "psycopg2-binary"}
    assert packages.files == ("requirements.txt", "requirements/base.txt")
    assert packages.extras["flask"] == {"async"}


def test_requirement_lines_drop_comments_but_not_fragments() -> None:
    assert requirement_lines("# a\nx @ https://h/x.zip#egg=x\ny==1 # c\n\n") == ["x @ https://h/x.zip#egg=x", "y==1"]


@pytest.mark.parametrize(
    ("line", "name"),
    [("git+https://h/o/Flask.git@main#egg=Flask", "flask"), ("flask @ https://h/flask.whl", "flask"),
     ("git+https://h/o/flask.git", "flask"), ("-e git+https://h/o/f.git#egg=flask", "flask")],
)  # fmt: skip
def test_requirements_by_address_are_understood(line: str, name: str) -> None:
    assert python_packages(DictTree({"requirements.txt": line})).names == {name}


@pytest.mark.parametrize("line", ["-e .", "./vendored/lib", "../lib"])
def test_a_requirement_in_the_source_is_installed_after_the_source_was_added(line: str) -> None:
    plan = detect(DictTree({"app.py": FLASK, "requirements.txt": f"flask\n{line}\n"}))
    assert plan.dependencies is None
    assert any("requirements.txt" in command for command in plan.build_commands)


@pytest.mark.parametrize(
    ("files", "tool", "command"),
    [
        ({"pyproject.toml": '[project]\nname="a"\ndependencies=["flask"]', "uv.lock": ""}, "uv", "uv sync --frozen"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython="^3.11"\nflask={version="*"}', "poetry.lock": ""},
         "poetry", "poetry export --only main"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\nflask="*"'}, "poetry", "poetry lock"),
        ({"pyproject.toml": '[project]\ndependencies=["flask"]', "pdm.lock": ""}, "pdm", "uvx pdm export"),
        ({"Pipfile": '[packages]\nflask = "*"', "Pipfile.lock": "{}"}, "pipenv", "uvx pipenv requirements"),
        ({"Pipfile": '[packages]\nflask = "*"'}, "pipenv", "uvx pipenv lock"),
        ({"pyproject.toml": '[project]\ndependencies=["flask"]'}, "pyproject", "-r pyproject.toml"),
        ({"requirements.txt": "flask", "pyproject.toml": "[tool.ruff]\n"}, "requirements", "-r requirements.txt"),
        ({"requirements.txt": "flask", "pyproject.toml": '[project]\ndependencies=[]', "uv.lock": ""}, "uv", "uv sync"),
        ({"requirements/production.txt": "flask"}, "requirements", "-r requirements/production.txt"),
        ({"requirement.txt": "flask"}, "requirements", "-r requirement.txt"),
        ({"requirements.in": "flask"}, "requirements", "-r requirements.in"),
    ],
)  # fmt: skip
def test_the_tool_that_the_project_uses_installs_it(files: dict[str, str], tool: str, command: str) -> None:
    tree = DictTree(files | {"app.py": FLASK})
    assert python_packages(tree).tool == tool
    plan = detect(tree)
    assert plan.framework == "flask"
    assert plan.dependencies is not None
    assert any(command in step for step in plan.dependencies.commands)
    assert set(plan.dependencies.files) <= set(files)


def test_setup_py_is_installed_with_the_source() -> None:
    plan = detect(
        DictTree({"setup.py": "from setuptools import setup\nsetup(install_requires=['flask'])", "app.py": FLASK})
    )
    assert plan.dependencies is None
    assert "uv pip install --python /opt/venv/bin/python ." in plan.build_commands


def test_a_package_is_installed_itself_when_it_has_a_build_system() -> None:
    project = '[project]\nname="a"\ndependencies=["flask"]\n[build-system]\nrequires=["hatchling"]\n'
    plan = detect(DictTree({"pyproject.toml": project, "src/a/__init__.py": FLASK}))
    assert plan.processes["app"].endswith(" a:app")
    assert "uv pip install --python /opt/venv/bin/python --no-deps --editable ." in plan.build_commands


def test_the_python_version_that_is_demanded_is_fetched() -> None:
    project = '[project]\nname="a"\nrequires-python=">=3.13"\ndependencies=["flask"]'
    plan = detect(DictTree({"pyproject.toml": project, "app.py": FLASK}))
    assert plan.dependencies is not None
    assert plan.dependencies.commands[0] == "uv venv --python '>=3.13' /opt/venv"


def test_a_pinned_version_is_a_wish() -> None:
    plan = detect(DictTree({".python-version": "3.12\n", "requirements.txt": "flask", "app.py": FLASK}))
    assert plan.dependencies is not None
    first = plan.dependencies.commands[0]
    assert first == "uv venv --python 3.12 /opt/venv || uv venv --python /usr/bin/python3 /opt/venv"


def test_hostile_versions_do_not_reach_the_shell() -> None:
    files = {".python-version": "3.12; rm -rf /", "requirements.txt": "flask", "app.py": FLASK}
    plan = detect(DictTree(files))
    assert plan.dependencies is not None
    assert not any("rm -rf" in command for command in plan.dependencies.commands)


def test_broken_files_are_named() -> None:
    with pytest.raises(BadInput, match=r"pyproject\.toml can't be read"):
        detect(DictTree({"pyproject.toml": "[project\n", "app.py": FLASK}))


def test_source_that_cannot_be_parsed_is_passed_over() -> None:
    files = {"app.py": "(" * 10_000, "main.py": "print 'python 2'", "real.py": FLASK, "nul.py": "\0"}
    assert start(files | {"requirements.txt": "flask\ngunicorn"}).endswith("real:app")


def test_a_framework_that_no_file_names_is_added_and_said() -> None:
    plan = detect(DictTree({"app.py": FLASK}))
    assert plan.dependencies is not None
    assert "flask gunicorn" in plan.dependencies.commands[-1]
    assert any("no requirement names it" in note for note in plan.notes)


def test_services_are_inferred_from_client_libraries() -> None:
    plan = detect(DictTree({"app.py": FLASK, "requirements.txt": "flask\npsycopg[binary]\nredis\nboto3\npymysql"}))
    assert set(plan.needs) == {"postgres", "redis", "bucket", "mysql"}
