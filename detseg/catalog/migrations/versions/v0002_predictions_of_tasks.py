"""The model versions whose predictions a task has, and the requests that were believed lost and sent
again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Makes the two tables. A task that was pushed before has the prediction that it was pushed with."""
    op.create_table(
        "task_predictions",
        sa.Column("project", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("model_version", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("intended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pushed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project", "image_id"],
            ["tasks.project", "tasks.image_id"],
            name="fk_task_predictions_project_image_id",
        ),
        sa.PrimaryKeyConstraint("project", "image_id", "model_version", name="pk_task_predictions"),
    )
    op.create_table(
        "doubts",
        sa.Column("project", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.String(length=71), nullable=False),
        sa.Column("model_version", sa.String(length=200), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.key"], name="fk_doubts_project"),
        sa.PrimaryKeyConstraint("project", "image_id", "model_version", name="pk_doubts"),
    )
    op.execute(
        "INSERT INTO task_predictions (project, image_id, model_version, state, intended_at, pushed_at) "
        "SELECT project, image_id, model_version, 'pushed', intended_at, pushed_at FROM tasks "
        "WHERE state IN ('pushed', 'deleted')"
    )
