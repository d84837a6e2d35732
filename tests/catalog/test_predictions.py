from dataclasses import replace

import pytest

from detseg.catalog import Catalog, Quarantined
from detseg.errors import CatalogError
from detseg.types import ModelVersion, RegionId
from tests.catalog.made import REGIONS, VERSION, entry, found, image_id, image_ids, prediction

OTHER = ModelVersion("other@ffffffff")


@pytest.fixture(autouse=True)
def _images(catalog: Catalog) -> None:
    catalog.images.record(found(n) for n in range(10))


def test_what_is_recorded_comes_back_as_it_was(catalog: Catalog) -> None:
    predictions = [prediction(n) for n in (3, 1, 2)]
    assert catalog.predictions.record(predictions) == 3
    wanted = [image_id(n) for n in (2, 9, 3, 1, 2)]
    assert list(catalog.predictions.read(wanted, VERSION)) == [prediction(n) for n in (2, 3, 1)]
    assert list(catalog.predictions.read(wanted, OTHER)) == []


def test_the_first_answer_of_a_version_stays(catalog: Catalog) -> None:
    catalog.predictions.record([prediction(1)])
    assert catalog.predictions.record([prediction(1, regions=()), prediction(2)]) == 1
    (first,) = catalog.predictions.read([image_id(1)], VERSION)
    assert first.regions == REGIONS


def test_missing_are_the_unanswered_in_their_order_once(catalog: Catalog) -> None:
    catalog.predictions.record([prediction(4), prediction(5, version=OTHER)])
    asked = [image_id(n) for n in (5, 4, 1, 5, 0)]
    assert catalog.predictions.missing(asked, VERSION) == tuple(image_id(n) for n in (5, 1, 0))
    assert catalog.predictions.missing(asked, OTHER) == tuple(image_id(n) for n in (4, 1, 0))
    assert catalog.predictions.missing([], VERSION) == ()
    assert len(catalog.predictions.missing(image_ids(1_300), VERSION)) == 1_299


def test_an_image_without_regions_is_answered(catalog: Catalog) -> None:
    catalog.predictions.record([replace(prediction(1, regions=()), state="empty")])
    assert catalog.predictions.missing([image_id(1)], VERSION) == ()
    (empty,) = catalog.predictions.read([image_id(1)], VERSION)
    assert (empty.regions, empty.state) == ((), "empty")


def test_a_shard_is_recorded_as_a_whole_or_not_at_all(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match=r"(?i)foreign key"):
        catalog.predictions.record([prediction(1), prediction(77)])
    assert len(catalog.predictions.missing([image_id(1)], VERSION)) == 1


def test_an_image_that_is_predicted_leaves_quarantine(catalog: Catalog) -> None:
    catalog.quarantine.record([Quarantined(entry(1).uri, "no memory", "predict", image=image_id(1))])
    catalog.predictions.record([prediction(1)])
    assert catalog.quarantine.entries() == ()
    assert catalog.predictions.record([]) == 0


def test_labels_are_those_of_every_version(catalog: Catalog) -> None:
    again = replace(REGIONS[0], id=RegionId("other"))
    catalog.predictions.record([prediction(1), prediction(2), prediction(1, version=OTHER, regions=[again])])
    assert catalog.predictions.labels(image_ids(2)) == {
        image_id(1): {"r1": "bolt", "r2": "belt", "other": "bolt"}
    }
    assert catalog.predictions.labels([]) == {}
