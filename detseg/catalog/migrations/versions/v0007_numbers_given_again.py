"""The moments at which the server made tasks and annotations, because it may give their numbers to later
ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_REVIEW = (
    "project, annotation_id, task_id, image_id, author, state, regions, lead_time_s, updated_at, deleted, "
    "simulated, unread"
)


def upgrade(op: Operations) -> None:
    """Takes the numbers of deleted tasks from them, and makes the moment part of a review's identity.

    When tasks were made is learnt when they are read; annotations were not made after their last change.
    """
    op.add_column("tasks", sa.Column("former_id", sa.BigInteger(), nullable=True))
    op.add_column("tasks", sa.Column("created_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE tasks SET former_id = task_id, task_id = NULL WHERE state = 'deleted'")
    op.execute(
        "UPDATE tasks SET former_id = (SELECT max(reviews.task_id) FROM reviews "
        "WHERE reviews.project = tasks.project AND reviews.image_id = tasks.image_id) WHERE state = 'intent'"
    )
    op.execute(f"CREATE TABLE reviews_before AS SELECT {_REVIEW} FROM reviews")
    op.drop_table("reviews")  # with its key and its indexes, whose names are taken till then
    _make_reviews(op)
    op.execute(
        f"INSERT INTO reviews ({_REVIEW}, created_at) SELECT {_REVIEW}, updated_at FROM reviews_before"
    )
    op.drop_table("reviews_before")


def _make_reviews(op: Operations) -> None:
    op.create_table(
        "reviews",
        sa.Column("project", sa.Integer(), nullable=False),
        sa.Column("annotation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("regions", sa.Text(), nullable=False),
        sa.Column("lead_time_s", sa.Float(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("unread", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "image_id"], ["tasks.project", "tasks.image_id"], name="fk_reviews_project_image_id"
        ),
        sa.ForeignKeyConstraint(["project"], ["projects.key"], name="fk_reviews_project"),
        sa.PrimaryKeyConstraint("project", "annotation_id", "created_at", name="pk_reviews"),
    )
    op.create_index(
        "ix_reviews_project_image_id_author_updated_at",
        "reviews",
        ["project", "image_id", "author", "updated_at"],
        unique=False,
    )
    op.create_index("ix_reviews_project_task_id", "reviews", ["project", "task_id"], unique=False)
