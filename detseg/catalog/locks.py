"""Who may do something alone: one holder of a name at a time among all who use the catalog."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.processes import file_lock


@dataclass(frozen=True, slots=True)
class Locks:
    """``catalog.locks``"""

    database: Database

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Waits until nobody holds that name, and holds it inside the block. A death gives it free.

        On SQLite a file beside the catalog is locked, on PostgreSQL a number in a session of its own. Raises
        CatalogError.
        """
        digest = hashlib.sha256(name.encode()).digest()[:8]
        if self.database.engine.dialect.name == "sqlite":
            with file_lock(Path(f"{self.database.engine.url.database}.{digest.hex()}.lock")):
                yield
            return
        with self.database.explained():
            session = self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            with self.database.explained():
                key = int.from_bytes(digest, signed=True)
                session.execute(sa.select(sa.func.pg_advisory_lock(key)))
            yield
        finally:
            if not session.invalidated:  # as one is whose server went away
                session.detach()  # closed rather than pooled: the end of the session is the end of the lock
            session.close()
