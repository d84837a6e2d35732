import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detseg.catalog import Catalog, ProjectKey, open_catalog
from tests.catalog.made import NOON, VERSION, found, image_id, image_ids, record_project
from tests.postgres import cluster

NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def new_database() -> Iterator[NewDatabase]:
    """URLs of empty PostgreSQL databases."""
    numbers = itertools.count(1)
    with cluster() as server:
        yield lambda: server.make_database(f"catalog-{next(numbers)}")


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """An empty catalog of each kind in turn."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("file_url"))
    new_database: NewDatabase = request.getfixturevalue("new_database")
    return new_database()


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    with open_catalog(url, clock=lambda: NOON) as opened:
        yield opened


@pytest.fixture
def project(catalog: Catalog) -> ProjectKey:
    """A project in which image n of 6 is task 100 + n."""
    catalog.images.record(found(n) for n in range(6))
    key = record_project(catalog).key
    catalog.tasks.open_push(key, image_ids(6), VERSION)
    catalog.tasks.confirm_push(key, {image_id(n): 100 + n for n in range(6)})
    return key
