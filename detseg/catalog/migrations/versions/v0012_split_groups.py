"""Groups of near duplicates that stay on one side of a split, as they were in the first version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    op.create_table(
        "split_groups",
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("group", sa.String(length=71), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_split_groups_image_id"),
        sa.PrimaryKeyConstraint("image_id", name="pk_split_groups"),
    )
