from __future__ import annotations

import numpy as np

from detseg.catalog import Catalog
from detseg.types import Embedding, Fingerprint, ImageFeatures
from tests.catalog.made import found, image_id, image_ids


def features(n: int, *, model: str = "") -> ImageFeatures:
    values = np.array([n, 0.5, -1.0], dtype=np.float16)
    embedding = Embedding(model, values) if model else None
    return ImageFeatures(image_id(n), Fingerprint(bytes([n] * 8), bytes([n, 255])), embedding)


def test_features_come_back_as_they_went_in(catalog: Catalog) -> None:
    catalog.images.record(found(n) for n in range(4))
    catalog.features.record([features(0, model="a@1"), features(2)])
    ids = image_ids(4)
    assert catalog.features.missing([ids[3], ids[0], ids[1], ids[3]]) == (ids[3], ids[1])
    second, first = catalog.features.read([ids[2], ids[3], ids[0]])
    assert (second.image, second.fingerprint, second.embedding) == (ids[2], features(2).fingerprint, None)
    assert first.fingerprint == features(0).fingerprint
    assert first.embedding is not None
    assert first.embedding.model == "a@1"
    np.testing.assert_array_equal(first.embedding.values, np.array([0, 0.5, -1], dtype=np.float16))


def test_a_later_model_replaces_an_embedding_and_none_keeps_it(catalog: Catalog) -> None:
    catalog.images.record([found(1)])
    for one in (features(1, model="a@1"), features(1, model="b@2"), features(1)):
        catalog.features.record([one])
    (kept,) = catalog.features.read([image_id(1)])
    assert kept.embedding is not None
    assert kept.embedding.model == "b@2"
