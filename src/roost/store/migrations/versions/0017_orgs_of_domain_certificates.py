"""Whose part of the week's new names a certificate of the cloud's domain counts against"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("domain_certificates", schema=None) as batch_op:
        batch_op.add_column(sa.Column("org", sa.String(), nullable=False, server_default=""))
    op.execute(
        "UPDATE domain_certificates SET org = COALESCE("
        "(SELECT apps.org FROM apps WHERE apps.name = domain_certificates.app), '') WHERE first_issued_at > 0"
    )
