"""Near duplicates: planted copies are found, what only looks alike is not, and no order matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from bench.duplicates import COPIES, measure, photos, scenes
from detseg.datasets.duplicates import (
    Duplicates,
    compare_images,
    confirm_duplicates,
    find_duplicates,
    stack_features,
)
from detseg.images.fingerprints import fingerprint
from detseg.samples.scenes import generate_scene
from detseg.types import Embedding, ImageFeatures, ImageId, Size


def scene(seed: int) -> Image.Image:
    return Image.fromarray(generate_scene(seed, Size(160, 120)).image)


def found(images: Sequence[Image.Image], embeddings: Iterable[Embedding | None] = ()) -> Duplicates:
    """The duplicates among images whose ids are their numbers."""
    known = [*embeddings, *[None] * len(images)]
    return find_duplicates(
        stack_features(
            ImageFeatures(ImageId(f"{n:03d}"), fingerprint(np.asarray(image)), known[n])
            for n, image in enumerate(images)
        )
    )


def test_planted_copies_of_photos_that_look_alike_are_found(shared_data: Path) -> None:
    """The figures of all images are those of ``bench.duplicates``."""
    measured = measure([*photos(shared_data, every=12), *scenes(8)])
    assert measured.recall >= 0.98, measured
    assert measured.precision >= 0.98, measured


def test_no_order_matters() -> None:
    images = [copy(scene(seed)) for seed in range(4) for copy in (lambda one: one, *COPIES.values())]
    features = [
        ImageFeatures(ImageId(f"{n:03d}"), fingerprint(np.asarray(image))) for n, image in enumerate(images)
    ]
    expected = find_duplicates(stack_features(features))
    assert len(expected.clusters) == 4
    shuffled = np.random.default_rng(3).permutation(len(features))
    assert find_duplicates(stack_features(features[i] for i in shuffled)) == expected


@pytest.mark.parametrize("n_before", [0, 1, 13, 28])
def test_those_that_were_compared_are_not_compared_again(n_before: int) -> None:
    """Nor does it matter that images are gone since, or look otherwise."""
    images = [copy(scene(seed)) for seed in range(4) for copy in (lambda one: one, *COPIES.values())]
    features = [
        ImageFeatures(ImageId(f"{n:03d}"), fingerprint(np.asarray(image))) for n, image in enumerate(images)
    ]
    gone = ImageFeatures(ImageId("0125"), features[12].fingerprint)
    other = replace(features[3], fingerprint=features[-1].fingerprint)
    shuffled = [features[n] for n in np.random.default_rng(n_before).permutation(len(features))]
    first = [other if one is features[3] else one for one in (*shuffled[:n_before], gone)]
    before, table = compare_images(stack_features(first)), stack_features(features)
    compared = compare_images(table, before)
    assert confirm_duplicates(table, compared) == find_duplicates(table)
    again = replace(table, thumbnails=np.zeros_like(table.thumbnails))  # nobody looks at them
    assert np.array_equal(compare_images(again, compared).pairs, compared.pairs)


def test_mirrored_and_turned_images_are_no_duplicates() -> None:
    image = scene(1)
    turns = [image.transpose(turn) for turn in Image.Transpose]
    assert found([image, *turns]) == Duplicates()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_empty_pictures_are_no_duplicates_of_each_other(value: int) -> None:
    """Nothing in them says so; where their bytes are equal they are one image anyway."""
    assert found([Image.new("L", (40 + n, 30), value).convert("RGB") for n in range(5)]) == Duplicates()


def test_few_images_have_none() -> None:
    assert found([]) == found([scene(1)]) == Duplicates()


def test_an_embedding_decides_where_pixels_leave_doubt() -> None:
    """Of two that are alike to some degree, the embeddings of one model say whether they are duplicates."""
    image = scene(4)
    blurred = image.filter(ImageFilter.GaussianBlur(1))
    noise = np.random.default_rng(1).normal(0, 1, (15, 20, 3))
    spots = np.asarray(
        Image.fromarray((np.clip(noise, -2, 2) * 50 + 128).astype(np.uint8)).resize(image.size)
    )
    for share in np.linspace(0.1, 0.6, 11):
        other = Image.blend(blurred, Image.fromarray(spots), float(share))
        one, same, far = (
            Embedding("a@1", np.array(values, dtype=np.float16)) for values in ((1, 0), (0.999, 0.04), (0, 1))
        )
        confirmed = found([image, other], [one, same]).pairs
        refused = found([image, other], [one, far]).pairs
        assert len(refused) <= len(confirmed)
        if len(refused) < len(confirmed):
            return
    pytest.fail("no share of noise left any doubt")


def test_a_chain_of_pairs_does_not_join_what_is_far_apart() -> None:
    """One picture turns into another in small steps: no cluster holds both."""
    first, last = scene(1), scene(2)
    steps = [Image.blend(first, last, share) for share in np.linspace(0, 1, 41).tolist()]
    clusters = found(steps).clusters
    assert any(len(cluster) > 3 for cluster in clusters)
    assert not any({"000", "040"} <= set(cluster) for cluster in clusters)


def test_brightness_hardly_changes_a_fingerprint() -> None:
    image = scene(3)
    one, other = (
        fingerprint(np.asarray(ImageEnhance.Brightness(image).enhance(share))) for share in (1.0, 1.2)
    )
    bits = np.bitwise_count(np.frombuffer(one.hash, np.uint8) ^ np.frombuffer(other.hash, np.uint8))
    assert int(bits.sum()) <= 8
