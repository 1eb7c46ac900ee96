"""Public ports of apps"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "public_ports",
        sa.Column("protocol", sa.String(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("claimed_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("protocol", "port"),
    )
    with op.batch_alter_table("public_ports", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_public_ports_app"), ["app"], unique=False)
