"""The way in which each image was given to annotators where it was not the usual one; the truth of gold
images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Makes the two tables. Every task that was made before had the model's regions, so none has a row."""
    op.create_table(
        "arms",
        sa.Column("project", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("arm", sa.String(length=20), nullable=False),
        sa.Column("decoys", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_arms_image_id"),
        sa.ForeignKeyConstraint(["project"], ["projects.key"], name="fk_arms_project"),
        sa.PrimaryKeyConstraint("project", "image_id", name="pk_arms"),
    )
    op.create_table(
        "gold",
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("regions", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_gold_image_id"),
        sa.PrimaryKeyConstraint("image_id", name="pk_gold"),
    )
