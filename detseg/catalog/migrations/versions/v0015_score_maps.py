"""How the scores of a promoted model become probabilities."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    op.add_column("promotions", sa.Column("score_maps", sa.Text(), nullable=False, server_default="{}"))
