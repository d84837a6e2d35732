"""The part of each prediction that tasks' pages show, so that later settings do not change what is
measured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Nobody kept it for predictions that were sent before, so they have no row."""
    op.create_table(
        "shown",
        sa.Column("project", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("model_version", sa.String(length=200), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_shown_image_id"),
        sa.ForeignKeyConstraint(["project"], ["projects.key"], name="fk_shown_project"),
        sa.PrimaryKeyConstraint("project", "image_id", "model_version", name="pk_shown"),
    )
