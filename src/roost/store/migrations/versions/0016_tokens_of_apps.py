"""Tokens for apps name them by id too, and end with them"""

import json
import time

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("app_ids", sa.JSON(none_as_null=True)))
    connection = op.get_bind()
    apps = {row.name: row for row in connection.execute(sa.text("SELECT name, id, org, created_at FROM apps"))}
    change = sa.text("UPDATE tokens SET apps = :apps, app_ids = :ids WHERE id = :token")
    end = sa.text("UPDATE tokens SET revoked_at = :now WHERE id = :token AND revoked_at IS NULL")
    for token in connection.execute(
        sa.text("SELECT id, org, apps, created_at FROM tokens WHERE apps IS NOT NULL")
    ).all():
        names = json.loads(token.apps) if isinstance(token.apps, str) else token.apps
        own = [
            apps[name]
            for name in names
            if name in apps and apps[name].org == token.org and apps[name].created_at <= token.created_at
        ]
        if own:
            values = {"apps": json.dumps([app.name for app in own]), "ids": json.dumps([app.id for app in own])}
            connection.execute(change, {"token": token.id, **values})
        else:
            connection.execute(end, {"token": token.id, "now": time.time()})
