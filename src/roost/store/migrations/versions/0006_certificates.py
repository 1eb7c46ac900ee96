"""Certificates"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "certificates",
        sa.Column("hostname", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("acme_requested", sa.Integer(), nullable=False),
        sa.Column("custom", sa.JSON(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("seen", sa.JSON(), nullable=True),
        sa.Column("checked_at", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("hostname"),
    )
    with op.batch_alter_table("certificates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_certificates_app"), ["app"], unique=False)
