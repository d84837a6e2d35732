"""Brings a database to the tables that this version of the code knows, in one transaction.

Each file in ``migrations/versions`` has Alembic's four names and ``upgrade(op)``; the operations come as an
argument, so that two catalogs can be migrated by two threads.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from detseg.catalog.database import Database
from detseg.errors import CatalogError

if TYPE_CHECKING:  # most catalogs are current, and need none of it
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

MIGRATIONS = Path(__file__).with_name("migrations")

VERSION_TABLE = "detseg_catalog_version"
"""Not Alembic's default name, so that somebody else's database is never taken for a catalog."""


def migrate(database: Database) -> None:
    """Makes or upgrades the catalog's tables; does nothing when they are current.

    Raises CatalogError for a database that a newer version made, or that holds something else.
    """
    with database.reading() as connection:
        if _is_current(connection):
            return
        scripts = _scripts()
        _revision(connection, scripts, database.name)
    from alembic.operations import Operations

    with database.writing_alone() as connection:  # someone else may have migrated while we waited
        current = _revision(connection, scripts, database.name)
        context = migration_context(connection)
        for script in reversed(list(scripts.iterate_revisions("head", current or "base"))):
            script.module.upgrade(Operations(context))
            context.stamp(scripts, script.revision)


def _is_current(connection: sa.Connection) -> bool:
    """Tell whether the newest of the files, which are named after their revisions, was the last."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return False
    newest = max(path.name[1:5] for path in (MIGRATIONS / "versions").glob("v*.py"))
    versions = sa.table(VERSION_TABLE, sa.column("version_num", sa.String))
    return connection.scalars(sa.select(versions.c.version_num)).all() == [newest]


@cache
def _scripts() -> ScriptDirectory:
    """The migrations, which Alembic compiles anew in each ScriptDirectory."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(MIGRATIONS))


def migration_context(connection: sa.Connection) -> MigrationContext:
    """Alembic's view of the database behind that connection."""
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})


def _revision(connection: sa.Connection, scripts: ScriptDirectory, name: str) -> str | None:
    revision = migration_context(connection).get_current_revision()
    if revision is None:
        if found := sa.inspect(connection).get_table_names():
            raise CatalogError(
                f"the database {name} is not a catalog, it holds {', '.join(sorted(found)[:3])}: name another"
            )
    elif revision not in {script.revision for script in scripts.walk_revisions()}:
        raise CatalogError(
            f"the catalog {name} was made by a newer detseg (revision {revision}): upgrade detseg to use it"
        )
    return revision
