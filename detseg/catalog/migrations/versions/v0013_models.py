"""Trained models, the log of which of them pre-annotates, and the looks at splits that judged them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    op.create_table(
        "models",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("answers", sa.String(length=20), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("parent", sa.String(length=200), nullable=True),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.String(length=71), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["parent"], ["models.name"], name="fk_models_parent"),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
        sa.UniqueConstraint("digest", "path", name="uq_models_digest_path"),
    )
    op.create_table(
        "promotions",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("judgement", sa.Text(), nullable=True),
        sa.Column("box_thresholds", sa.Text(), nullable=False),
        sa.Column("mask_thresholds", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_promotions_model"),
        sa.PrimaryKeyConstraint("number", name="pk_promotions"),
    )
    op.create_table(
        "looks",
        sa.Column("dataset_id", sa.String(length=71), nullable=False),
        sa.Column("split", sa.String(length=200), nullable=False),
        sa.Column("candidate", sa.String(length=200), nullable=False),
        sa.Column("present", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", "split", "candidate", "present", name="pk_looks"),
    )
