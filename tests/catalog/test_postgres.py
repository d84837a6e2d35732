"""What only a database server does: it dies and comes back, refuses a user, lets many in at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from detseg.catalog import open_catalog
from detseg.errors import CatalogError
from tests.catalog.conftest import NewDatabase
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
        threading.Timer(0.3, holder.kill).start()
        began = time.monotonic()
        with catalog.locks.hold("push"):
            assert time.monotonic() - began > 0.2
    holder.communicate()
