"""Orgs, members, scopes of tokens, and the audit log"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    orgs = op.create_table(
        "orgs",
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("slug"),
    )
    op.create_table(
        "members",
        sa.Column("org", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("org", "user"),
    )
    with op.batch_alter_table("members", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_members_user"), ["user"], unique=False)
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("org", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("user", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("apps", sa.JSON(none_as_null=True)))
        batch_op.add_column(sa.Column("machine", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("actions", sa.JSON(none_as_null=True)))
    op.create_table(
        "audit",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("org", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("subject", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_app"), ["app"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_at"), ["at"], unique=False)
    known = {row[0] for row in op.get_bind().execute(sa.text("SELECT DISTINCT org FROM apps"))} | {"personal"}
    op.bulk_insert(orgs, [{"slug": slug, "name": slug, "created_at": time.time()} for slug in sorted(known)])
