"""The table of runs, in which nothing was ever written: Prefect keeps the record of runs."""

from __future__ import annotations

from alembic.operations import Operations

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    op.drop_table("runs")
