"""What was destroyed lately, roles of apps, and when volumes changed"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "destroyed",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("destroyed_at", sa.Float(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_destroyed_app", "destroyed", ["app"])
    op.add_column("apps", sa.Column("role", sa.String(), nullable=False, server_default=""))
    op.add_column("volumes", sa.Column("updated_at", sa.Float(), nullable=False, server_default="0"))
    op.execute("UPDATE volumes SET updated_at = created_at")
