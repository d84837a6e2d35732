"""What only a database server does: it dies and comes back, refuses a user, lets many in at once."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa

from detseg.catalog import open_catalog
from detseg.catalog.database import Database
from detseg.errors import CatalogError, LockHeld
from detseg.waits import heard_by
from tests.catalog.conftest import NewDatabase
from tests.catalog.made import found
from tests.catalog.test_database import start
from tests.postgres import Cluster, cluster

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def mortal() -> Iterator[Cluster]:
    """A server that only these tests use."""
    with cluster() as server:
        yield server


def refusal(url: str) -> str:
    with pytest.raises(CatalogError) as caught, open_catalog(url) as catalog:
        catalog.cursors.set("a", "1")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    return str(caught.value)


def test_a_server_that_died_is_one_line_and_an_open_catalog_works_when_it_is_back(mortal: Cluster) -> None:
    url = mortal.make_database("died")
    with open_catalog(url) as catalog:
        catalog.cursors.set("before", "1")
        mortal.kill()
        with pytest.raises(CatalogError, match="the database server") as caught:
            catalog.cursors.set("meanwhile", "1")
        assert "\n" not in str(caught.value)
        assert "see that the database server runs" in refusal(url)
        mortal.start()
        catalog.cursors.set("after", "1")
        names = ("before", "meanwhile", "after")
        assert [catalog.cursors.get(name) for name in names] == ["1", None, "1"]


def test_a_server_that_hangs_is_given_up_in_one_line(mortal: Cluster) -> None:
    url, heard = mortal.make_database("hung") + "?connect_timeout=2", queue.SimpleQueue[str]()
    with open_catalog(url, silent_s=1.0) as catalog, heard_by(heard.put):
        catalog.cursors.set("before", "1")
        with mortal.frozen():
            assert "see that the database server runs" in refusal(url)
            with pytest.raises(CatalogError, match="see that the database server runs") as caught:
                catalog.images.record(map(found, range(100)))
            assert "\n" not in str(caught.value)
        assert heard.get(timeout=600).startswith("waiting for the catalog postgresql")
        assert catalog.images.count() == 0
        assert catalog.cursors.get("before") == "1"


def test_a_server_that_hangs_in_the_middle_of_a_transaction_is_given_up(mortal: Cluster) -> None:
    database = Database(mortal.make_database("hung-in-the-middle") + "?connect_timeout=2", silent_s=1.0)
    words = r"not answered for 1 s and takes no connections\): see that the database server runs"

    def write() -> None:
        with database.writing() as connection:
            connection.execute(sa.text("CREATE TABLE seen (n int)"))
            with mortal.frozen():
                connection.execute(sa.text("INSERT INTO seen SELECT generate_series(1, 9)"))

    with pytest.raises(CatalogError, match=words):
        write()
    with database.reading() as connection:
        assert sa.inspect(connection).get_table_names() == []
    database.close()


def test_a_statement_that_takes_long_is_waited_for(new_database: NewDatabase) -> None:
    database = Database(new_database(), silent_s=0.1)
    with database.reading() as connection:
        connection.execute(sa.select(sa.func.pg_sleep(1)))
        assert connection.execute(sa.select(1)).scalar_one() == 1
    database.close()


def test_wrong_names_are_one_line_with_a_mend(new_database: NewDatabase) -> None:
    url = new_database()
    assert "createdb" in refusal(url.replace("/catalog", "/no catalog"))
    assert "does not exist" in refusal(url.replace("detseg@", "nobody:secret@"))
    assert "name in `catalog`" in refusal("postgresql://user:secret@nowhere.invalid/catalog")


def test_somebody_elses_database_is_left_alone(new_database: NewDatabase) -> None:
    url = new_database()
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE flow_run (id text)")
    assert "is not a catalog, it holds flow_run" in refusal(url)


def test_a_lock_has_one_holder_at_a_time_and_names_are_apart(url: str) -> None:
    with open_catalog(url) as one, open_catalog(url) as other:
        inside = threading.Event()

        def enter() -> None:
            with other.locks.hold("push"):
                inside.set()

        with one.locks.hold("push"):
            waiting = threading.Thread(target=enter)
            waiting.start()
            with other.locks.hold("another"):
                assert not inside.wait(0.2)
        waiting.join()
        assert inside.is_set()


def test_a_lock_that_is_not_given_free_is_given_up_in_one_line(url: str) -> None:
    with (
        open_catalog(url) as one,
        open_catalog(url) as other,
        one.locks.hold("queue parts"),
        pytest.raises(LockHeld, match=r"^the lock of queue parts was not free within 0\.05 s: ") as caught,
        other.locks.hold("queue parts", longest_s=0.05),
    ):
        pass
    assert re.search(r"process \d+ holds|session \d+, from 127\.0\.0\.1\) holds", str(caught.value))
    assert "\n" not in str(caught.value)


def test_who_waits_for_another_writer_says_so_and_gives_up(new_database: NewDatabase) -> None:
    url, heard = new_database(), queue.SimpleQueue[str]()
    with open_catalog(url) as catalog:
        catalog.cursors.set("a", "1")
        shown = catalog.url
    with psycopg.connect(url.replace("+psycopg", "")) as writer:
        writer.execute("UPDATE cursors SET value = '2'")
        with open_catalog(url, busy_s=0.05) as hasty, pytest.raises(CatalogError, match="another process"):
            hasty.cursors.set("a", "3")

        def commit_once_it_was_said() -> str:
            line = heard.get(timeout=600)
            writer.commit()
            return line

        with ThreadPoolExecutor(1) as pool, heard_by(heard.put), open_catalog(url, busy_s=1200.0) as patient:
            line = pool.submit(commit_once_it_was_said)
            patient.cursors.set("a", "4")
            assert patient.cursors.get("a") == "4"
    assert line.result().startswith(f"waiting for the catalog {shown} (")


def test_a_server_that_goes_away_under_one_who_waits_for_a_lock_is_one_line(
    new_database: NewDatabase,
) -> None:
    url = new_database()
    failed: list[str] = []

    def wait() -> None:
        with pytest.raises(CatalogError) as caught, open_catalog(url) as other, other.locks.hold("push"):
            pass
        failed.append(str(caught.value))

    with (
        open_catalog(url) as one,
        one.locks.hold("push"),
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin,
    ):
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiter = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not admin.execute(waiter).fetchall():
            assert waiting.is_alive()
        waiting.join()
    assert len(failed) == 1
    assert "\n" not in failed[0]


def test_a_killed_holder_gives_the_lock_free(url: str) -> None:
    holder = start("hold", url, 0)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with open_catalog(url) as catalog:
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            holder.kill()

        threading.Timer(0.3, kill).start()
        with catalog.locks.hold("push"):
            assert killed.is_set()
    holder.communicate()
