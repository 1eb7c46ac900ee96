"""The schema's newest revision is known without Alembic, which is loaded only to go there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from roost.store.database import MIGRATIONS, newest_revision


def test_the_newest_revision_is_alembics_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [newest_revision()]
    for revision in script.walk_revisions():
        assert Path(revision.path).name.startswith(f"{revision.revision}_")


def test_a_database_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    code = f"""
import sys
from roost.store.database import Database
Database({url!r}).close()
print("alembic" in sys.modules)
"""
    argv = [sys.executable, "-c", code]
    said = [subprocess.run(argv, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said == ["True\n", "False\n"]


def test_tokens_of_before_are_of_the_app_that_there_was_when_they_were_made(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'state.db'}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0015")
        app = "INSERT INTO apps (name, id, org, network, number, secrets_version, created_at) VALUES (?,?,?,'n',?,0,?)"
        for row in (("shop", "s1", "acme", 1, 10.0), ("blog", "b1", "acme", 2, 10.0)):
            connection.exec_driver_sql(app, row)
        token = "INSERT INTO tokens (id, name, role, sha256, created_at, org, apps) VALUES (?,'','',?,?,?,?)"
        for ident, at, org, apps in (
            ("now", 11.0, "acme", '["shop", "blog"]'),
            ("earlier", 9.0, "acme", '["shop"]'),
            ("others", 11.0, "rival", '["shop"]'),
            ("some", 11.0, "acme", '["gone", "blog"]'),
            ("all", 11.0, "acme", None),
        ):
            connection.exec_driver_sql(token, (ident, ident, at, org, apps))
        command.upgrade(config, "head")
        rows = connection.exec_driver_sql("SELECT id, apps, app_ids, revoked_at IS NULL FROM tokens").all()
    engine.dispose()
    assert {row[0]: tuple(row[1:]) for row in rows} == {
        "now": ('["shop", "blog"]', '["s1", "b1"]', 1),
        "earlier": ('["shop"]', None, 0),
        "others": ('["shop"]', None, 0),
        "some": ('["blog"]', '["b1"]', 1),
        "all": (None, None, 1),
    }
