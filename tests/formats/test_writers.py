"""Scenes written as COCO files, read back with pycocotools, hotcoco and by our own readers."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from detseg.formats import ImageLabels
from detseg.formats.coco import read_coco_labels, read_instances
from detseg.formats.coco_dataset import COCO as DETECTION
from detseg.formats.coco_panoptic_dataset import COCO_PANOPTIC
from detseg.formats.dataset import Contents, Format
from detseg.geometry.masks import mask_to_bitmap
from detseg.metrics.detection import score_coco_files
from detseg.metrics.panoptic import score_panoptic_files
from detseg.samples.scenes import SAMPLE_CLASSES, THING_NAMES, Scene, generate_scene
from detseg.taxonomy import LabelClass
from detseg.types import Box, Instance, Size

SIZE = Size(160, 120)
SEEDS = (4, 5, 12)
THINGS = tuple(cls for cls in SAMPLE_CLASSES if cls.kind == "thing")
CATEGORY_IDS = {cls.name: number for number, cls in enumerate(SAMPLE_CLASSES, 1)}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [generate_scene(seed, SIZE) for seed in SEEDS]


def write(
    format_: Format, folder: Path, images: Sequence[ImageLabels], classes: Sequence[LabelClass]
) -> Path:
    """The JSON file."""
    folder.mkdir(exist_ok=True)
    return format_.write(Contents(tuple(classes), lambda: images, lambda _: None), folder)[0]


@pytest.fixture(scope="module")
def detection(scenes: list[Scene], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The things alone."""
    images = [ImageLabels(f"{scene.seed}.png", SIZE, things(scene)) for scene in scenes]
    return write(DETECTION, tmp_path_factory.mktemp("detection"), images, THINGS)


@pytest.fixture(scope="module")
def panoptic(scenes: list[Scene], tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = [ImageLabels(f"{scene.seed}.png", SIZE, scene.instances) for scene in scenes]
    return write(COCO_PANOPTIC, tmp_path_factory.mktemp("panoptic"), images, SAMPLE_CLASSES)


def things(scene: Scene) -> tuple[Instance, ...]:
    return tuple(instance for instance in scene.instances if instance.kind == "thing")


def read_with_pycocotools(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools and numpy 2
def test_pycocotools_reads_the_things(detection: Path, scenes: list[Scene]) -> None:
    coco = read_with_pycocotools(detection)
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(THING_NAMES)
    for image_id, scene in enumerate(scenes, start=1):
        entries = coco.loadAnns(coco.getAnnIds(imgIds=[image_id], iscrowd=False))
        (image,) = coco.loadImgs([image_id])
        assert (image["width"], image["height"]) == (160, 120)
        assert [e["category_id"] for e in entries] == [CATEGORY_IDS[i.label] for i in things(scene)]
        for entry, thing in zip(entries, things(scene), strict=True):
            assert thing.mask is not None
            np.testing.assert_array_equal(coco.annToMask(entry), mask_to_bitmap(thing.mask))
            assert entry["area"] == coco_mask.area(entry["segmentation"]) == thing.mask.area
            assert entry["bbox"] == coco_mask.toBbox(entry["segmentation"]).tolist()


def test_annotation_ids_are_unique_and_start_at_one(detection: Path) -> None:
    entries = json.loads(detection.read_text())["annotations"]
    assert [e["id"] for e in entries] == list(range(1, len(entries) + 1))


def test_panoptic_pngs_hold_the_segments(panoptic: Path, scenes: list[Scene]) -> None:
    content = json.loads(panoptic.read_text())
    assert [(c["id"], c["name"], c["isthing"]) for c in content["categories"]] == [
        (CATEGORY_IDS[c.name], c.name, int(c.kind == "thing")) for c in SAMPLE_CLASSES
    ]
    for annotation, scene in zip(content["annotations"], scenes, strict=True):
        with Image.open(panoptic.with_suffix("") / annotation["file_name"]) as image:
            red, green, blue = np.moveaxis(np.asarray(image).astype(int), -1, 0)
        ids = red + 256 * green + 65536 * blue
        np.testing.assert_array_equal(np.array([0, *scene.segment_ids])[ids], scene.panoptic)
        assert {s["id"] for s in annotation["segments_info"]} == set(np.unique(ids).tolist())
        for segment in annotation["segments_info"]:
            assert segment["area"] == np.count_nonzero(ids == segment["id"])


def test_the_truth_scores_perfectly_against_itself(detection: Path, panoptic: Path, tmp_path: Path) -> None:
    quality = score_panoptic_files(panoptic, panoptic)
    assert (quality.all.pq, quality.things.pq, quality.stuff.pq) == (1.0, 1.0, 1.0)
    truth = json.loads(detection.read_text())["annotations"]
    results = tmp_path / "results.json"
    results.write_text(json.dumps([{**entry, "score": 0.5} for entry in truth]))
    assert score_coco_files(detection, results, "bbox").ap == pytest.approx(1.0)
    assert score_coco_files(detection, results, "segm").ap == pytest.approx(1.0)


def test_images_without_anything_make_data_sets(tmp_path: Path) -> None:
    images = [ImageLabels("a.png", SIZE)]
    panoptic = json.loads(write(COCO_PANOPTIC, tmp_path / "p", images, SAMPLE_CLASSES).read_text())
    assert [one["segments_info"] for one in panoptic["annotations"]] == [[]]
    coco = read_with_pycocotools(write(DETECTION, tmp_path / "d", images, THINGS))
    assert (coco.getImgIds(), coco.getAnnIds()) == ([1], [])
    assert DETECTION.write(Contents(THINGS, list, lambda _: None), tmp_path) == ()


def test_what_is_written_is_what_is_read(detection: Path, scenes: list[Scene], tmp_path: Path) -> None:
    for file in (detection, write_again(detection, tmp_path / "again")):
        labels = read_coco_labels(file)
        assert list(labels.images) == [f"{scene.seed}.png" for scene in scenes]
        for scene in scenes:
            assert tuple(read_instances(labels, f"{scene.seed}.png", SIZE)) == things(scene)


def write_again(file: Path, folder: Path) -> Path:
    labels = read_coco_labels(file)
    images = [ImageLabels(name, SIZE, tuple(read_instances(labels, name, SIZE))) for name in labels.images]
    return write(DETECTION, folder, images, [LabelClass(name) for name in labels.labels.values()])


def test_a_box_alone_and_hidden_masks(scenes: list[Scene], tmp_path: Path) -> None:
    box = Instance("bolt", "thing", Box(1, 2, 11, 7))
    file = write(DETECTION, tmp_path / "d", [ImageLabels("a", SIZE, (box,))], THINGS)
    (entry,) = json.loads(file.read_text())["annotations"]
    assert (entry["bbox"], entry["area"], "segmentation" in entry) == ([1, 2, 10, 5], 50, False)
    twice = (scenes[0].instances[0],) * 2
    file = write(COCO_PANOPTIC, tmp_path / "p", [ImageLabels("a", SIZE, (box, *twice))], SAMPLE_CLASSES)
    (annotation,) = json.loads(file.read_text())["annotations"]
    assert len(annotation["segments_info"]) == 1  # the other is hidden
