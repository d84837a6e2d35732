"""Further tasks of an image on which people worked, because a request was carried out more than once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """So far such tasks were not kept: the next look at the server finds them."""
    op.create_table(
        "copies",
        sa.Column("project", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "image_id"], ["tasks.project", "tasks.image_id"], name="fk_copies_project_image_id"
        ),
        sa.PrimaryKeyConstraint("project", "task_id", name="pk_copies"),
    )
    op.create_index("ix_copies_project_image_id", "copies", ["project", "image_id"], unique=False)
