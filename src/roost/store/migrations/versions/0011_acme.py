"""Issued certificates, orders under way, and accounts at ACME servers"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("certificates", schema=None) as batch_op:
        batch_op.add_column(sa.Column("issued", sa.JSON(none_as_null=True)))
        batch_op.add_column(sa.Column("issued_sealed", sa.LargeBinary()))
        batch_op.add_column(sa.Column("attempt", sa.JSON(none_as_null=True)))
        batch_op.add_column(sa.Column("attempt_sealed", sa.LargeBinary()))
    op.create_table(
        "acme_accounts",
        sa.Column("directory", sa.String(), nullable=False),
        sa.Column("uri", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("directory"),
    )
