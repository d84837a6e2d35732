import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from detseg.catalog import ProjectKey, ReviewCounts, open_catalog
from detseg.catalog.database import Database
from detseg.catalog.migrate import MIGRATIONS, VERSION_TABLE, migration_context
from detseg.catalog.tables import metadata
from detseg.errors import CatalogError
from detseg.types import Entry, SeenTask
from tests.catalog.made import NOON, VERSION, image_id, image_ids, review
from tests.catalog.reading import review_ids


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


def test_a_current_catalog_is_opened_without_alembic(file_url: str) -> None:
    program = (
        "import sys\nfrom detseg.catalog import open_catalog\n"
        f"with open_catalog({file_url!r}):\n    print('alembic' in sys.modules)"
    )
    loaded = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert loaded == ["True\n", "False\n"]


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


@contextmanager
def revision(url: str, number: str) -> Iterator[sa.Connection]:
    """A transaction in a catalog as it was at that revision."""
    database = Database(url)
    scripts = ScriptDirectory(str(MIGRATIONS))
    with database.writing() as connection:
        context = migration_context(connection)
        for script in reversed(list(scripts.iterate_revisions(number, "base"))):
            script.module.upgrade(Operations(context))
            context.stamp(scripts, script.revision)
        yield connection
    database.close()


def test_a_time_of_change_stays_as_the_stamp(url: str) -> None:
    with revision(url, "0002") as connection:
        values = {"id": image_id(1), "first_seen": NOON}
        connection.execute(sa.text("INSERT INTO images VALUES (:id, 64, 48, :first_seen)"), values)
        connection.execute(sa.text("INSERT INTO locations VALUES ('/a.png', :id, 10, 77)"), values)
    with open_catalog(url) as catalog:
        assert catalog.images.known([Entry("/a.png", 10, "77")]) == {"/a.png": image_id(1)}


def test_deleted_tasks_give_their_numbers_free_and_reviews_stay(url: str) -> None:
    """Of four images one has a task, one's is deleted, one's about to be restored, and one's on its way."""
    states = {0: ("pushed", 100), 1: ("deleted", 101), 2: ("intent", None), 3: ("intent", None)}
    with revision(url, "0006") as connection:
        moment = {"now": NOON.replace(tzinfo=None) if connection.dialect.name == "sqlite" else NOON}
        connection.execute(sa.text("INSERT INTO projects VALUES (1, 9, :now, 'url', 'parts', '')"), moment)
        for n, (state, task) in states.items():
            values = {**moment, "image": image_id(n), "state": state, "task": task, "version": VERSION}
            connection.execute(sa.text("INSERT INTO images VALUES (:image, 64, 48, :now)"), values)
            statement = "INSERT INTO tasks VALUES (1, :image, :task, :state, :version, :now, NULL)"
            connection.execute(sa.text(statement), values)
            if n < 3:
                values |= {"number": n, "task": 100 + n, "deleted": n > 0}
                statement = (
                    "INSERT INTO reviews VALUES (1, :number, :task, :image, 'person 1', 'empty', '[]', 12.5, "
                    ":now, :deleted, false, '')"
                )
                connection.execute(sa.text(statement), values)
    project = ProjectKey(1)
    with open_catalog(url) as catalog:
        assert catalog.tasks.ids(project) == catalog.tasks.undated(project) == (100,)
        assert review_ids(catalog, project) == {0}
        again = review(0, 0, state="empty", regions=())
        assert catalog.reviews.record(project, [again]) == ReviewCounts(unchanged=1)
        assert list(catalog.reviews.latest(project)) == [again]
        assert catalog.tasks.drop_intents(project, image_ids(4)) == 2
        assert {task.image: task.state for task in catalog.tasks.of_project(project)} == {
            image_id(0): "pushed",
            image_id(1): "deleted",
            image_id(2): "deleted",
        }
        back = SeenTask(101, NOON, image_id(1))
        assert catalog.server_tasks.recognise(project, [back]).images == {101: image_id(1)}
        catalog.tasks.open_push(project, [image_id(3)], VERSION)
        catalog.tasks.confirm_push(project, {image_id(3): 101})  # a number that was given again
        assert catalog.tasks.count(project, "deleted") == 2


def test_images_that_were_shown_blind_are_control_images(url: str) -> None:
    given = {1: "blind", 2: "decoy", 3: "gold"}
    with revision(url, "0012") as connection:
        moment = {"now": NOON.replace(tzinfo=None) if connection.dialect.name == "sqlite" else NOON}
        connection.execute(sa.text("INSERT INTO projects VALUES (1, 9, :now, 'url', 'parts', '')"), moment)
        for n in range(4):
            values = {**moment, "image": image_id(n), "arm": given.get(n), "version": VERSION}
            connection.execute(sa.text("INSERT INTO images VALUES (:image, 64, 48, :now)"), values)
            columns = "project, image_id, state, model_version, intended_at"
            task = f"INSERT INTO tasks ({columns}) VALUES (1, :image, 'pushed', :version, :now)"
            connection.execute(sa.text(task), values)
            if n in given:
                connection.execute(sa.text("INSERT INTO arms VALUES (1, :image, :arm, '[]')"), values)
    with open_catalog(url) as catalog:
        arms = catalog.arms.of_images(ProjectKey(1), image_ids(4))
        assert {image: one.arm for image, one in arms.items()} == {
            image_id(1): "control",
            image_id(2): "decoy",
            image_id(3): "gold",
        }
        assert catalog.arms.counts(ProjectKey(1)) == {"assisted": 1, "control": 1, "decoy": 1, "gold": 1}
