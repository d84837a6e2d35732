"""The images that a judgement looked at, so that the look counts where its dataset version is gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    op.add_column("looks", sa.Column("images", sa.LargeBinary(), nullable=True))
