import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from detseg.catalog import open_catalog
from detseg.catalog.database import Database
from detseg.catalog.migrate import MIGRATIONS, VERSION_TABLE, migration_context
from detseg.catalog.tables import metadata
from detseg.errors import CatalogError
from detseg.types import Entry
from tests.catalog.made import NOON, image_id


def test_the_migrations_make_the_tables_that_the_code_knows(url: str) -> None:
    with open_catalog(url):
        pass
    database = Database(url)
    with database.reading() as connection:
        assert compare_metadata(migration_context(connection), metadata) == []
        names = set(sa.inspect(connection).get_table_names())
        assert names == {*metadata.tables, VERSION_TABLE}
        revision = migration_context(connection).get_current_revision()
    database.close()
    assert revision == ScriptDirectory(str(MIGRATIONS)).get_current_head()


def test_migrating_again_changes_nothing(file_url: str, tmp_path: Path) -> None:
    with open_catalog(file_url):
        pass
    before = (tmp_path / "catalog.db").read_bytes()
    with open_catalog(file_url):
        pass
    assert (tmp_path / "catalog.db").read_bytes() == before


def test_a_newer_catalog_is_left_alone(file_url: str, tmp_path: Path) -> None:
    with open_catalog(file_url) as catalog:
        catalog.cursors.set("a", "1")
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    with (
        pytest.raises(CatalogError, match=r"newer detseg \(revision 9999\): upgrade"),
        open_catalog(file_url),
    ):
        pass


def test_somebody_elses_database_is_left_alone(file_url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("CREATE TABLE flow_run (id TEXT)")
    connection.close()
    with (
        pytest.raises(CatalogError, match="is not a catalog, it holds alembic_version, flow_run"),
        open_catalog(file_url),
    ):
        pass


def test_many_threads_may_open_a_new_catalog_at_once(url: str) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(8)

    def open_and_write(n: int) -> None:
        start.wait()
        try:
            with open_catalog(url) as catalog:
                catalog.cursors.set(f"cursor {n}", "1")
        except CatalogError as error:
            failures.append(error)

    threads = [threading.Thread(target=open_and_write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with open_catalog(url) as catalog:
        assert [catalog.cursors.get(f"cursor {n}") for n in range(8)] == ["1"] * 8


def test_a_time_of_change_stays_as_the_stamp(url: str) -> None:
    database = Database(url)
    scripts = ScriptDirectory(str(MIGRATIONS))
    with database.writing() as connection:
        context = migration_context(connection)
        for script in reversed(list(scripts.iterate_revisions("0002", "base"))):
            script.module.upgrade(Operations(context))
            context.stamp(scripts, script.revision)
        values = {"id": image_id(1), "first_seen": NOON}
        connection.execute(sa.text("INSERT INTO images VALUES (:id, 64, 48, :first_seen)"), values)
        connection.execute(sa.text("INSERT INTO locations VALUES ('/a.png', :id, 10, 77)"), values)
    database.close()
    with open_catalog(url) as catalog:
        assert catalog.images.known([Entry("/a.png", 10, "77")]) == {"/a.png": image_id(1)}
