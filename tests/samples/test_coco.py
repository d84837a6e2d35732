"""Scenes as COCO data sets, read back with pycocotools, hotcoco and by hand."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from detseg.geometry.masks import mask_to_bitmap
from detseg.metrics.detection import score_coco_files
from detseg.metrics.panoptic_files import score_panoptic_files
from detseg.samples.coco import CATEGORY_IDS, SceneDataset, write_scenes
from detseg.samples.scenes import SAMPLE_CLASSES, THING_NAMES, Scene, generate_scene
from detseg.types import Size

SIZE = Size(160, 120)
SEEDS = (4, 5, 12)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SceneDataset:
    return write_scenes(tmp_path_factory.mktemp("scenes"), SEEDS, SIZE)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [generate_scene(seed, SIZE) for seed in SEEDS]


def read_with_pycocotools(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_the_photographs_are_the_scenes(dataset: SceneDataset, scenes: list[Scene]) -> None:
    for entry, scene in zip(json.loads(dataset.detection.read_text())["images"], scenes, strict=True):
        with Image.open(dataset.images / entry["file_name"]) as image:
            np.testing.assert_array_equal(np.asarray(image), scene.image)
        assert (entry["width"], entry["height"]) == (160, 120)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools and numpy 2
def test_pycocotools_reads_the_things(dataset: SceneDataset, scenes: list[Scene]) -> None:
    coco = read_with_pycocotools(dataset.detection)
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(THING_NAMES)
    for image_id, scene in enumerate(scenes, start=1):
        entries = coco.loadAnns(coco.getAnnIds(imgIds=[image_id], iscrowd=False))
        things = [i for i in scene.instances if i.kind == "thing"]
        assert [e["category_id"] for e in entries] == [CATEGORY_IDS[i.label] for i in things]
        for entry, thing in zip(entries, things, strict=True):
            assert thing.mask is not None
            np.testing.assert_array_equal(coco.annToMask(entry), mask_to_bitmap(thing.mask))
            assert entry["area"] == coco_mask.area(entry["segmentation"]) == thing.mask.area
            assert entry["bbox"] == coco_mask.toBbox(entry["segmentation"]).tolist()


def test_annotation_ids_are_unique_and_start_at_one(dataset: SceneDataset) -> None:
    entries = json.loads(dataset.detection.read_text())["annotations"]
    assert [e["id"] for e in entries] == list(range(1, len(entries) + 1))


def test_panoptic_pngs_hold_the_segments(dataset: SceneDataset, scenes: list[Scene]) -> None:
    content = json.loads(dataset.panoptic.read_text())
    assert [(c["id"], c["name"], c["isthing"]) for c in content["categories"]] == [
        (CATEGORY_IDS[c.name], c.name, int(c.kind == "thing")) for c in SAMPLE_CLASSES
    ]
    for annotation, scene in zip(content["annotations"], scenes, strict=True):
        with Image.open(dataset.panoptic.with_suffix("") / annotation["file_name"]) as image:
            red, green, blue = np.moveaxis(np.asarray(image).astype(int), -1, 0)
        ids = red + 256 * green + 65536 * blue
        np.testing.assert_array_equal(ids, scene.panoptic)
        assert {s["id"] for s in annotation["segments_info"]} == set(np.unique(ids).tolist())
        for segment in annotation["segments_info"]:
            assert segment["area"] == np.count_nonzero(ids == segment["id"])


def test_the_truth_scores_perfectly_against_itself(dataset: SceneDataset, tmp_path: Path) -> None:
    quality = score_panoptic_files(dataset.panoptic, dataset.panoptic)
    assert (quality.all.pq, quality.things.pq, quality.stuff.pq) == (1.0, 1.0, 1.0)
    truth = json.loads(dataset.detection.read_text())["annotations"]
    results = tmp_path / "results.json"
    results.write_text(json.dumps([{**entry, "score": 0.5} for entry in truth]))
    assert score_coco_files(dataset.detection, results, "bbox").ap == pytest.approx(1.0)
    assert score_coco_files(dataset.detection, results, "segm").ap == pytest.approx(1.0)


def test_no_seeds_make_an_empty_data_set(tmp_path: Path) -> None:
    dataset = write_scenes(tmp_path / "none", ())
    assert json.loads(dataset.panoptic.read_text())["annotations"] == []
    assert read_with_pycocotools(dataset.detection).getImgIds() == []
