"""The import that a known truth came with. Labels that are imported are reviews of images without a task."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """So far every truth came from the file that the settings name."""
    op.add_column("gold", sa.Column("name", sa.Text(), nullable=False, server_default=""))
