"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Makes the tables of an empty database."""
    _make_image_tables(op)
    _make_task_tables(op)
    _make_journal_tables(op)


def _make_image_tables(op: Operations) -> None:
    op.create_table(
        "images",
        sa.Column("id", sa.String(length=71), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
    )
    op.create_table(
        "locations",
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_locations_image_id"),
        sa.PrimaryKeyConstraint("uri", name="pk_locations"),
    )
    op.create_index("ix_locations_image_id", "locations", ["image_id"], unique=False)
    op.create_table(
        "predictions",
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("model_version", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("regions", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_predictions_image_id"),
        sa.PrimaryKeyConstraint("image_id", "model_version", name="pk_predictions"),
    )


def _make_task_tables(op: Operations) -> None:
    op.create_table(
        "projects",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("server_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("label_config", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_projects"),
        sa.UniqueConstraint("server_id", "created_at", name="uq_projects_server_id_created_at"),
    )
    op.create_table(
        "tasks",
        sa.Column("project", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("model_version", sa.String(length=200), nullable=False),
        sa.Column("intended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pushed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_tasks_image_id"),
        sa.ForeignKeyConstraint(["project"], ["projects.key"], name="fk_tasks_project"),
        sa.PrimaryKeyConstraint("project", "image_id", name="pk_tasks"),
        sa.UniqueConstraint("project", "task_id", name="uq_tasks_project_task_id"),
    )
    op.create_table(
        "reviews",
        sa.Column("project", sa.Integer(), nullable=False),
        sa.Column("annotation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("regions", sa.Text(), nullable=False),
        sa.Column("lead_time_s", sa.Float(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "image_id"], ["tasks.project", "tasks.image_id"], name="fk_reviews_project_image_id"
        ),
        sa.ForeignKeyConstraint(["project"], ["projects.key"], name="fk_reviews_project"),
        sa.PrimaryKeyConstraint("project", "annotation_id", name="pk_reviews"),
    )
    op.create_index(
        "ix_reviews_project_image_id_author_updated_at",
        "reviews",
        ["project", "image_id", "author", "updated_at"],
        unique=False,
    )
    op.create_index("ix_reviews_project_task_id", "reviews", ["project", "task_id"], unique=False)


def _make_journal_tables(op: Operations) -> None:
    op.create_table(
        "cursors",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cursors"),
    )
    op.create_table(
        "quarantine",
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("image_id", sa.String(length=71), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("uri", name="pk_quarantine"),
    )
    op.create_index("ix_quarantine_image_id", "quarantine", ["image_id"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("flow", sa.String(length=100), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("model_version", sa.String(length=200), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
