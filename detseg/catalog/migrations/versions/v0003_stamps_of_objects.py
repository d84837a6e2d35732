"""Objects have ETags and generations where files have a time of change; manifests say more of an image."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Keeps the time of change as the stamp, so that no file has to be read again."""
    op.add_column("locations", sa.Column("stamp", sa.Text(), nullable=False, server_default=""))
    op.add_column("locations", sa.Column("metadata", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE locations SET stamp = CAST(mtime_ns AS TEXT)")
    op.drop_column("locations", "mtime_ns")
