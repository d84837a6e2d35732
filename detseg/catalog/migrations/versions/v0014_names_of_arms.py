"""Images that are shown without predictions are control images, as in the report; they were called blind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Rename the arm. The other name that changed, helped for assisted, has no rows."""
    arms = sa.table("arms", sa.column("arm", sa.String))
    op.execute(arms.update().where(arms.c.arm == "blind").values(arm="control"))
