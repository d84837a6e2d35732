"""Features of images: what tells near duplicates, and the models' embeddings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Images that were predicted before have none until they are predicted again."""
    op.create_table(
        "features",
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("thumbnail", sa.LargeBinary(), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_features_image_id"),
        sa.PrimaryKeyConstraint("image_id", name="pk_features"),
    )
