import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detseg.catalog import Catalog, ProjectKey, open_catalog
from tests.catalog.made import NOON, VERSION, found, image_id, image_ids, record_project
from tests.postgres import Cluster, cluster

NewDatabase = Callable[[], str]
KINDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgres))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


@pytest.fixture(scope="session")
def new_database(postgres: Cluster) -> NewDatabase:
    """URLs of empty PostgreSQL databases."""
    numbers = itertools.count(1)
    return lambda: postgres.make_database(f"catalog-{next(numbers)}")


@pytest.fixture(scope="session")
def copied_database(postgres: Cluster) -> NewDatabase:
    """URLs of PostgreSQL databases that have a catalog's tables, and nothing in them."""
    numbers = itertools.count(1)
    with open_catalog(postgres.make_database("empty")):
        pass
    return lambda: postgres.make_database(f"copy-{next(numbers)}", template="empty")


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind in turn."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("file_url"))
    new_database: NewDatabase = request.getfixturevalue("new_database")
    return new_database()


@pytest.fixture(params=KINDS)
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A catalog of each kind in turn, with nothing in it."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_catalog"), tmp_path / "catalog.db")
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    copied_database: NewDatabase = request.getfixturevalue("copied_database")
    return copied_database()


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    with open_catalog(catalog_url, clock=lambda: NOON) as opened:
        yield opened


@pytest.fixture
def project(catalog: Catalog) -> ProjectKey:
    """A project in which image n of 6 is task 100 + n."""
    catalog.images.record(found(n) for n in range(6))
    key = record_project(catalog).key
    catalog.tasks.open_push(key, image_ids(6), VERSION)
    catalog.tasks.confirm_push(key, {image_id(n): 100 + n for n in range(6)})
    return key
