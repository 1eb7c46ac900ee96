"""Public certificates for the cloud's own domain"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "domain_certificates",
        sa.Column("hostname", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("called_at", sa.Float(), nullable=False),
        sa.Column("first_issued_at", sa.Float(), nullable=False),
        sa.Column("directory", sa.String(), nullable=False),
        sa.Column("issued", sa.JSON(), nullable=True),
        sa.Column("issued_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("attempt", sa.JSON(), nullable=True),
        sa.Column("attempt_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("seen", sa.JSON(), nullable=True),
        sa.Column("checked_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("hostname"),
    )
    with op.batch_alter_table("domain_certificates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_domain_certificates_app"), ["app"], unique=False)
