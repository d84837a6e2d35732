"""One connection pool with transactions that say whether they write, and errors in one line.

SQLite files get WAL, foreign keys and a wait of ``BUSY_S`` for other writers. A transaction that writes
takes the write lock when it begins, so it never fails half-way because another process wrote meanwhile.
PostgreSQL gets a snapshot for what is read, and connections that are tried before they are used, because
the server may have been restarted since, and that are given up with a server that hangs (``postgres.py``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from detseg.errors import CatalogError
from detseg.paging import PAGE, pages
from detseg.waits import waiting

BUSY_S = 60.0
"""The seconds that a writer waits for another one before it gives up."""

SILENT_S = 30.0
"""The longest silence of a database server before it is asked whether it is still there."""

Row = sa.Row[*tuple[Any, ...]]
Query = sa.Select[*tuple[Any, ...]]
Upsert = sqlite.Insert | postgresql.Insert

_ALONE = 0x6465747365670001  # a number of ours ("detseg" 1) among the database's advisory locks

_MENDS = (
    ("deadlock detected", "another process was in the way: run again"),
    ("lock timeout", "another process holds it: let it end, or stop it, then try again"),
    ("locked", "another process holds it: let it end, or stop it, then try again"),
    ("not a database", "the file is something else or damaged: name another file, or restore a copy"),
    ("malformed", "the file is damaged: restore a copy"),
    ("readonly", "make the file and its folder writable"),
    ("unable to open", "check that its folder exists and that you may write there"),
    ("full", "free some space and run again; nothing that was committed is lost"),
    ("disk I/O error", "check the disk, its quota and the limit on file sizes, then run again"),
    ("No space left", "free some space there and run again; nothing that was committed is lost"),
    ("authentication failed", "put the right user and password into DETSEG_CATALOG"),
    ("no password supplied", "put the password into DETSEG_CATALOG"),
    ("permission denied", "let that user make and change tables there"),
    ("does not exist", "make it (createdb), or name another in `catalog`"),
    ("connect", "see that the database server runs and can be reached, then run again"),
    ("resolve host", "see that the name in `catalog` is right"),
    ("shut", "wait until the database server is back, then run again"),
    ("starting up", "wait until the database server is back, then run again"),
)


def utc_now() -> datetime:
    """This moment in UTC."""
    return datetime.now(UTC)


class Database:
    """A pool of connections to one database; safe to use from several threads."""

    def __init__(self, url: str, *, busy_s: float = BUSY_S, silent_s: float = SILENT_S) -> None:
        self.engine = _make_engine(url, busy_s, silent_s)
        self.name = self.engine.url.render_as_string(hide_password=True)
        self._busy_s = busy_s
        self._reader = _reader(self.engine)
        self._writer = self.engine.execution_options(detseg_writes=True)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database and writes nothing."""
        with self._begun(self._reader) as connection:
            yield connection

    def read(self, query: Query) -> Sequence[Row]:
        """All rows of a query, in a transaction of its own."""
        with self.reading() as connection:
            return connection.execute(query).all()

    def read_pages(
        self, query: Query, column: sa.ColumnElement[Any], values: Iterable[object]
    ) -> Iterator[Row]:
        """The rows that have one of these values in that column, a transaction for each page of values."""
        for page in pages(values):
            yield from self.read(query.where(column.in_(page)))

    def read_along(self, query: Query, *key: sa.ColumnElement[str], size: int = PAGE) -> Iterator[Row]:
        """All rows by a key of texts that the query selects, a transaction for each page of ``size`` rows."""
        last = tuple("" for _ in key)
        while rows := self.read(query.where(sa.tuple_(*key) > sa.tuple_(*last)).order_by(*key).limit(size)):
            yield from rows
            last = tuple(getattr(rows[-1], str(column.key)) for column in key)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is there as a whole or not at all. Writers wait for each other."""
        with self._begun(self._writer) as connection:
            yield connection

    @contextmanager
    def _begun(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        """A transaction; who waits for its beginning says so."""
        with self.explained(), ExitStack() as stack:
            with waiting(f"the catalog {self.name}", longest_s=self._busy_s):
                connection = stack.enter_context(engine.begin())
            yield connection

    @contextmanager
    def writing_alone(self) -> Iterator[sa.Connection]:
        """As ``writing``, and no second one of these at a time: on PostgreSQL, writers of different rows
        do not wait for each other."""
        with self.writing() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ALONE)))
            yield connection

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns the database's errors into a CatalogError of one line."""
        try:
            yield
        except SQLAlchemyError as error:
            raise CatalogError(self._explain(error)) from error

    def _explain(self, error: SQLAlchemyError) -> str:
        cause = (isinstance(error, DBAPIError) and error.orig) or error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        mend = next((mend for part, mend in _MENDS if part in reason), "see the log for the statement")
        return f"the catalog {self.name} cannot be used ({reason}): {mend}"

    def insert(self, table: sa.Table) -> Upsert:
        """An INSERT that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
        if self.engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table)

    def upsert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Inserts the rows; where the primary key is there already, the row takes the new values."""
        if not rows:
            return
        statement = self.insert(table)
        key = [column.name for column in table.primary_key]
        values = {name: statement.excluded[name] for name in rows[0] if name not in key}
        connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values), list(rows))

    def close(self) -> None:
        """Closes the pooled connections."""
        self.engine.dispose()


def _make_engine(url: str, busy_s: float, silent_s: float) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        dialect = parsed.get_backend_name()
        if dialect not in ("sqlite", "postgresql"):
            raise CatalogError(f"the catalog is SQLite or PostgreSQL, not {dialect}: change `catalog`")
        if dialect == "sqlite":
            return _sqlite_engine(parsed, busy_s)
        from detseg.catalog.postgres import make_engine  # psycopg is an extra

        return make_engine(parsed, busy_s=busy_s, silent_s=silent_s)
    except (NoSuchModuleError, ImportError) as error:
        raise CatalogError(
            f"the catalog's driver is not installed ({error}): pip install 'detseg[postgres]' brings psycopg"
        ) from error
    except ArgumentError as error:
        raise CatalogError(
            "`catalog` is not a SQLAlchemy URL: write sqlite:///path/catalog.db, or postgresql://user@host/name"
        ) from error


def _reader(engine: sa.Engine) -> sa.Engine:
    """SQLite's readers see one state anyway."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ")


def _sqlite_engine(url: sa.URL, busy_s: float) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise CatalogError("a catalog is a file that outlives the run: write sqlite:///path/catalog.db")
    if not url.database.startswith("file:") and not Path(url.database).parent.is_dir():
        raise CatalogError(f"the catalog's folder {Path(url.database).parent} does not exist: make it first")
    engine = sa.create_engine(url, connect_args={"timeout": busy_s}, max_overflow=-1)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin below, not where the driver guesses
    connection.execute("PRAGMA foreign_keys = ON")
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        return
    # The switch to WAL does not wait for others, a write transaction does: so it waits in our stead.
    for _attempt in range(10):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("detseg_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
