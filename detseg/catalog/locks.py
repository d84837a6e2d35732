"""Locks by name: one holder at a time among all who use the catalog."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from detseg.catalog.database import Database
from detseg.errors import LockHeld
from detseg.locking import LOCK_S, file_lock
from detseg.waits import waiting

_NOT_AVAILABLE = "55P03"  # PostgreSQL's number for a lock_timeout that has passed
_HOLDER = """
    SELECT activity.pid, activity.client_addr
    FROM pg_locks AS ours JOIN pg_stat_activity AS activity USING (pid)
    WHERE ours.locktype = 'advisory' AND ours.granted AND ours.objsubid = 1
      AND ours.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (ours.classid::bigint << 32) | ours.objid::bigint = :key
"""


@dataclass(frozen=True, slots=True)
class Locks:
    """``catalog.locks``"""

    database: Database

    @contextmanager
    def hold(self, name: str, *, longest_s: float = LOCK_S) -> Iterator[None]:
        """Waits until nobody holds that name, and holds it inside the block. A death gives it free.

        On SQLite a file beside the catalog is locked, on PostgreSQL a number in a session of its own. Raises
        CatalogError, and LockHeld when another has held it for ``longest_s``.
        """
        digest = hashlib.sha256(name.encode()).digest()[:8]
        if self.database.engine.dialect.name == "sqlite":
            path = Path(f"{self.database.engine.url.database}.{digest.hex()}.lock")
            with file_lock(path, what=f"the lock of {name}", longest_s=longest_s):
                yield
            return
        with self.database.explained():
            session = self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            with self.database.explained(), waiting(f"the lock of {name}", longest_s=longest_s):
                _lock(session, name, int.from_bytes(digest, signed=True), longest_s)
            yield
        finally:
            if not session.invalidated:  # as one is whose server went away
                session.detach()  # closed rather than pooled: the end of the session is the end of the lock
            session.close()


def _lock(session: sa.Connection, name: str, key: int, longest_s: float) -> None:
    """Take that number among the database's locks for this session."""
    session.execute(sa.select(sa.func.set_config("lock_timeout", f"{max(1.0, longest_s * 1000):.0f}", False)))
    try:
        session.execute(sa.select(sa.func.pg_advisory_lock(key)))
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _NOT_AVAILABLE:
            raise
        holder = session.execute(sa.text(_HOLDER), {"key": key}).one_or_none()
        who = "another run" if holder is None else f"another run (session {holder[0]}, from {holder[1]})"
        raise LockHeld(
            f"the lock of {name} was not free within {longest_s:g} s: {who} holds it; let that end, or stop "
            "it (`SELECT pg_terminate_backend(SESSION)`), then run again"
        ) from error
