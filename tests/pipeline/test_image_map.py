"""The map of a project: what is known of its images, and pictures of them where they can be read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from detseg.datasets.splits import SplitRule
from detseg.datasets.store import DatasetStore
from detseg.images.fingerprints import fingerprint
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.image_map import map_of_project, map_of_version
from detseg.pipeline.reading import open_sources
from detseg.pipeline.workspace import opened_catalog
from detseg.report.data import ImageMap
from detseg.types import Embedding, ImageFeatures
from tests.pipeline.labeled import LabeledProject, bolt, make_project, ring

MODEL = "sees@0000000a"


@pytest.fixture
def project(tmp_path: Path) -> LabeledProject:
    """Twelve images: labeled, empty, skipped, and the others unlabeled."""
    made = make_project(tmp_path)
    made.add(range(12))
    made.review(0, [bolt("a"), bolt("b"), ring("c")])
    made.review(1)
    made.review(2, state="skipped")
    return made


def embed(project: LabeledProject, numbers: Sequence[int], *, model: str = MODEL) -> None:
    rng = np.random.default_rng(1)
    with opened_catalog(project.settings) as catalog:
        pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        catalog.features.record(
            ImageFeatures(
                project.images[number].id,
                fingerprint(pixels),
                Embedding(model, rng.normal(size=16).astype(np.float16)),
            )
            for number in numbers
        )


def draw(project: LabeledProject) -> ImageMap:
    with opened_catalog(project.settings) as catalog:
        return map_of_project(
            partial(open_sources, project.settings),
            catalog,
            project.project(catalog),
            (),
            folder=project.settings.state_path,
            datasets=project.settings.datasets_location,
        )


def test_each_image_says_what_is_known_of_it(project: LabeledProject) -> None:
    create_version(project.settings, "v1", Wish(split=SplitRule((("val", 1.0),))))
    embed(project, range(12))
    project.path(3).unlink()
    project.path(4).write_bytes(project.path(5).read_bytes())
    points = {point.name: point for point in draw(project).points}
    assert len(points) == 12
    facts = [points[f"photo {number}.jpg"].facts for number in range(4)]
    assert {one.cluster for one in facts} == {"cluster 1"}  # all have one fingerprint
    assert [one.state for one in facts] == ["labeled", "empty", "skipped", "unlabeled"]
    assert [one.label for one in facts] == ["bolt", "", "", ""]
    assert [one.split for one in facts] == ["val", "val", "", ""]
    modes = [points[f"photo {number}.jpg"].thumbnail.mode for number in range(6)]
    assert modes == ["RGB", "RGB", "RGB", "L", "L", "RGB"]
    assert points["photo 3.jpg"].thumbnail.size == (64, 43)


def test_only_embeddings_of_one_model_are_on_a_map(project: LabeledProject) -> None:
    assert draw(project) == ImageMap()
    embed(project, range(8))
    embed(project, range(8, 12), model="other@0000000b")
    map_ = draw(project)
    assert len(map_.points) == 8
    assert "8 of 12 images" in map_.note
    assert f"the backbone of {MODEL.partition('@')[0]}:" in map_.note
    assert map_.note.endswith("The others were last predicted with another backbone, or with none.")


def test_images_that_lay_there_before_are_not_laid_out_again(project: LabeledProject) -> None:
    embed(project, range(11))
    first, kept = draw(project), project.settings.state_path / "map.npz"
    with np.load(kept) as before:
        key, places = before["key"], before["places"]
    assert places.tolist() == [[point.x, point.y] for point in first.points]
    np.savez(kept, key=key, places=places[::-1])
    assert [[point.x, point.y] for point in draw(project).points] == places[::-1].tolist()
    embed(project, [11])
    more = [(point.x, point.y) for point in draw(project).points]
    assert len(more) == 12
    kept.write_bytes(b"PK damaged")
    assert [(point.x, point.y) for point in draw(project).points] == more


def test_a_version_has_a_map_of_its_images(project: LabeledProject) -> None:
    version = create_version(project.settings, "v1", Wish(split=SplitRule((("val", 1.0),))))
    embed(project, range(12))
    store = DatasetStore(project.settings.datasets_location)
    with opened_catalog(project.settings) as catalog:
        points = map_of_version(
            partial(open_sources, project.settings),
            catalog,
            store,
            version,
            folder=project.settings.state_path,
        ).points
    assert {point.name: point.facts.state for point in points} == {
        "photo 0.jpg": "labeled",
        "photo 1.jpg": "empty",
    }
