"""Django: settings, server, static files, migrations and secrets come from the project's own files."""

from __future__ import annotations

from roost.build.detect import DictTree, detect
from roost.model.build_plan import BuildPlan

WSGI = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "{}")\n'
BASE = {
    "manage.py": WSGI.format("shop.settings"),
    "shop/__init__.py": "",
    "shop/wsgi.py": WSGI.format("shop.settings"),
    "shop/asgi.py": "",
    "requirements.txt": "django\ngunicorn\n",
}


def plan(settings: str, **files: str) -> BuildPlan:
    return detect(DictTree(BASE | {"shop/settings.py": settings} | {k.replace("__", "/"): v for k, v in files.items()}))


def test_a_server_database_is_migrated_at_release() -> None:
    found = plan("import dj_database_url\nDATABASES = {'default': dj_database_url.config()}\n")
    assert found.release_command == "python manage.py migrate --noinput"
    assert "postgres" in found.needs


def test_sqlite_is_migrated_at_build_and_the_loss_is_said() -> None:
    found = plan("DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db'}}\n")
    assert found.release_command == ""
    assert found.build_commands[-1] == "python manage.py migrate --noinput"
    assert any("SQLite" in note for note in found.notes)


def test_static_files_are_collected_with_throwaway_secrets() -> None:
    found = plan(
        "import os\nSECRET_KEY = os.environ['SECRET_KEY']\nSTATIC_ROOT = 'out'\nX = os.environ.get('X', 'y')\n"
    )
    assert found.build_commands[-1] == "env SECRET_KEY=roost-build-only python manage.py collectstatic --noinput"
    assert found.generated_secrets == ("SECRET_KEY",)


def test_nothing_is_collected_without_a_place() -> None:
    assert not any("collectstatic" in command for command in plan("DEBUG = False\n").build_commands)


def test_the_settings_of_wsgi_are_served_and_their_bases_are_read() -> None:
    files = BASE | {
        "manage.py": WSGI.format("config.settings.local"),
        "config/__init__.py": "",
        "config/settings/__init__.py": "",
        "config/settings/base.py": "STATIC_ROOT = 'x'\nWSGI_APPLICATION = 'config.wsgi.application'\n",
        "config/settings/production.py": "from .base import *\nKEY = env('DJANGO_SECRET_KEY')\n",
        "config/wsgi.py": WSGI.format("config.settings.production"),
    }
    found = detect(DictTree(files))
    assert found.env["DJANGO_SETTINGS_MODULE"] == "config.settings.production"
    assert found.processes["app"].endswith("config.wsgi:application")
    assert found.generated_secrets == ("DJANGO_SECRET_KEY",)
    assert any("collectstatic" in command for command in found.build_commands)


def test_channels_are_served_by_daphne() -> None:
    found = plan(
        "ASGI_APPLICATION = 'shop.asgi.application'\n", **{"requirements.txt": "django\nchannels\ndaphne\ngunicorn\n"}
    )
    assert found.processes["app"] == "daphne -b 0.0.0.0 -p $PORT shop.asgi:application"


def test_a_project_below_the_top_is_found() -> None:
    files = {f"web/{path}": text for path, text in BASE.items() if path != "requirements.txt"}
    found = detect(DictTree(files | {"web/shop/settings.py": "STATIC_ROOT='x'\n", "requirements.txt": "django"}))
    assert found.env["PYTHONPATH"] == "/app/web"
    assert "python web/manage.py collectstatic --noinput" in found.build_commands


def test_hosts_that_would_refuse_every_request_are_said() -> None:
    assert any("ALLOWED_HOSTS" in note for note in plan("DEBUG = False\nALLOWED_HOSTS = ['example.com']\n").notes)
    assert not any("ALLOWED_HOSTS" in note for note in plan("DEBUG = False\nALLOWED_HOSTS = ['*']\n").notes)


def test_a_script_named_manage_without_django_is_a_script() -> None:
    found = detect(DictTree({"manage.py": "print(1)\n", "main.py": "print(2)\n"}))
    assert found.framework == ""
    assert found.processes["app"] == "python main.py"


def test_a_variable_with_an_alternative_is_not_required() -> None:
    found = plan("import os\nSECRET_KEY = os.environ.get('SECRET_KEY') or 'x'\nA = os.environ.get('B')\n")
    assert found.generated_secrets == ()
    assert any("need B" in note for note in found.notes)
