"""A review says what in it could not be read, instead of being left out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Every review that is there was read as a whole."""
    op.add_column("reviews", sa.Column("unread", sa.Text(), nullable=False, server_default=""))
