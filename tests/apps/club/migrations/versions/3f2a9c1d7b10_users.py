"""users

Revision ID: 3f2a9c1d7b10
Revises:
Create Date: 2026-02-03 18:21:40.118923

"""

import sqlalchemy as sa
from alembic import op

revision = "3f2a9c1d7b10"
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("name", name=op.f("uq_user_name")),
    )


def downgrade():
    op.drop_table("user")
