from collections.abc import Iterator
from pathlib import Path

import pytest

from detseg.catalog import Catalog, ProjectKey, open_catalog
from tests.catalog.made import NOON, VERSION, found, image_id, image_ids, record_project


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.db'}"


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
