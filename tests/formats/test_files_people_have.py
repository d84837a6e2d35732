"""COCO files as tools in use write them: the figures are pycocotools' and panopticapi's."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detseg.errors import FormatError
from detseg.formats.coco_entries import IouType
from detseg.metrics.detection import DetectionScore, score_coco_files
from detseg.metrics.panoptic import score_panoptic_files

Json = dict[str, Any]

SQUARE = [[10, 10, 40, 10, 40, 40, 10, 40]]
OTHER = [[50, 20, 70, 20, 70, 60, 50, 60]]
SHAPES = (
    {"bbox": [10, 10, 30, 30], "segmentation": SQUARE},
    {"bbox": [50, 20, 20, 40], "segmentation": OTHER},
)
TRUTH: Json = {
    "images": [
        {"id": 1, "width": 100, "height": 80, "file_name": "train/a.jpg"},
        {"id": 2, "width": 100, "height": 80, "file_name": "train/0012.jpg"},
    ],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": n, "image_id": n, "category_id": n, "area": 900 - 100 * (n - 1), "iscrowd": 0, **SHAPES[n - 1]}
        for n in (1, 2)
    ],
}
RESULTS: list[Json] = [
    {"image_id": 1, "category_id": 1, "score": 0.9, **SHAPES[0]},
    {"image_id": 2, "category_id": 2, "score": 0.8, "bbox": [52, 20, 20, 40], "segmentation": OTHER},
    {"image_id": 2, "category_id": 1, "score": 0.95, **SHAPES[0]},
]


def score(folder: Path, truth: Any, results: Any, iou_type: IouType = "bbox") -> DetectionScore:
    (folder / "t.json").write_text(json.dumps(truth))
    (folder / "r.json").write_text(json.dumps(results))
    return score_coco_files(folder / "t.json", folder / "r.json", iou_type)


def pycocotools_ap(truth: Json, results: Any, iou_type: IouType = "bbox") -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO()
        dataset.dataset = json.loads(json.dumps(truth))
        dataset.createIndex()
        found = COCOeval(dataset, dataset.loadRes(json.loads(json.dumps(results))), iou_type)
        found.evaluate()
        found.accumulate()
        found.summarize()
    return float(found.stats[0])


def renamed(names: tuple[Any, Any]) -> list[Json]:
    return [{**one, "image_id": names[one["image_id"] - 1]} for one in RESULTS]


@pytest.mark.parametrize(
    "names",
    [
        ("a", "0012"),
        ("a.jpg", "0012.jpg"),
        ("train/a.jpg", "train/0012.jpg"),
        ("/data/train/a.jpg", "./train/0012.jpg"),
        ("a", 12),
    ],
    ids=str,
)
def test_names_of_files_stand_for_ids(tmp_path: Path, names: tuple[Any, Any]) -> None:
    """ultralytics writes the stem, as a number where it is one."""
    found = score(tmp_path, TRUTH, renamed(names))
    assert found.ap == pytest.approx(pycocotools_ap(TRUTH, RESULTS), abs=1e-12)
    assert "detections whose image_id is a file name: 3; they are matched by it" in found.notes


def test_an_id_is_never_taken_for_a_name(tmp_path: Path) -> None:
    images = [{**TRUTH["images"][0], "file_name": "2.jpg"}, {**TRUTH["images"][1], "file_name": "1.jpg"}]
    found = score(tmp_path, {**TRUTH, "images": images}, RESULTS)
    assert found.ap == pytest.approx(pycocotools_ap(TRUTH, RESULTS), abs=1e-12)
    assert found.notes == ()


def test_a_name_of_two_images_is_none(tmp_path: Path) -> None:
    images = [TRUTH["images"][0], {**TRUTH["images"][1], "file_name": "val/a.jpg"}]
    with pytest.raises(FormatError, match="no detection on any image"):
        score(tmp_path, {**TRUTH, "images": images}, renamed(("a", "a")))


def test_numbers_as_pandas_writes_them(tmp_path: Path) -> None:
    def floats(entry: Json) -> Json:
        return {key: float(value) if isinstance(value, int) else value for key, value in entry.items()}

    truth = {part: [floats(entry) for entry in entries] for part, entries in TRUTH.items()}
    results = [floats(entry) for entry in RESULTS]
    for iou_type in ("bbox", "segm"):
        expected = pycocotools_ap(TRUTH, RESULTS, iou_type)  # type: ignore[arg-type]
        assert score(tmp_path, truth, results, iou_type).ap == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="whole number"):
        score(tmp_path, TRUTH, [{**RESULTS[0], "image_id": 1.5}])


@pytest.mark.parametrize("line", [[1, 1, 5, 5], [3, 3], []], ids=str)
def test_a_piece_of_a_mask_without_area_is_none(tmp_path: Path, line: list[int]) -> None:
    """pycocotools rasterises it to nothing; where it comes first, it takes the mask for boxes and fails."""
    annotations = [{**one, "segmentation": [*one["segmentation"], line]} for one in TRUTH["annotations"]]
    found = score(tmp_path, {**TRUTH, "annotations": annotations}, RESULTS, "segm")
    assert found.ap == pytest.approx(pycocotools_ap({**TRUTH, "annotations": annotations}, RESULTS, "segm"))
    first = [{**one, "segmentation": [line, *one["segmentation"]]} for one in TRUTH["annotations"]]
    assert score(tmp_path, {**TRUTH, "annotations": first}, RESULTS, "segm").ap == found.ap
    assert found.notes == ("masks with pieces of fewer than three points: 2; such a piece has no area",)
    alone = [{**one, "segmentation": [line]} for one in TRUTH["annotations"]]
    with pytest.raises(FormatError, match="three or more points"):
        score(tmp_path, {**TRUTH, "annotations": alone}, RESULTS, "segm")


def test_sizes_are_not_needed_where_boxes_are_compared(tmp_path: Path) -> None:
    images = [{**image, "width": None, "height": None} for image in TRUTH["images"]]
    found = score(tmp_path, {**TRUTH, "images": images}, RESULTS)
    assert found.ap == pytest.approx(pycocotools_ap(TRUTH, RESULTS), abs=1e-12)
    with pytest.raises(FormatError, match="polygons need width and height"):
        score(tmp_path, {**TRUTH, "images": images}, RESULTS, "segm")


def test_annotations_of_images_that_are_not_listed_do_not_count(tmp_path: Path) -> None:
    more = [*TRUTH["annotations"], {**TRUTH["annotations"][0], "id": 3, "image_id": 99}]
    truth = {**TRUTH, "annotations": more}
    found = score(tmp_path, truth, RESULTS)
    assert found.ap == pytest.approx(pycocotools_ap(truth, RESULTS), abs=1e-12)
    assert found.notes == ("annotations of images that the truth does not list: 1; they do not count",)


def test_a_dataset_is_not_taken_for_results(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"r\.json is a COCO dataset, not results: .* a score each"):
        score(tmp_path, TRUTH, TRUTH)
    with pytest.raises(FormatError, match='under "annotations", give that list alone'):
        score(tmp_path, TRUTH, {**TRUTH, "annotations": RESULTS})


def test_a_negative_area_is_refused(tmp_path: Path) -> None:
    annotations = [{**TRUTH["annotations"][0], "area": -5}]
    with pytest.raises(FormatError, match="annotations 0: expected a finite number from 0 as area, not -5"):
        score(tmp_path, {**TRUTH, "annotations": annotations}, RESULTS)


@pytest.mark.parametrize("form", ["text", "floats"])
def test_panoptic_ids_of_other_tools(tmp_path: Path, form: str) -> None:
    """Two segments of one image: the road found with an IoU of 24 / 32, the car with 16 / 24."""
    name = "frankfurt_000000_000294"
    for side, columns in (("t", 4), ("r", 3)):
        (tmp_path / side).mkdir()
        ids = np.zeros((8, 8, 3), dtype=np.uint8)
        ids[:, :columns, 0], ids[:, columns:6, 0] = 1, 2
        Image.fromarray(ids).save(tmp_path / side / f"{name}.png")
        image_id = name if form == "text" else 7.0
        number = (lambda n: n) if form == "text" else float
        segments = [{"id": number(n), "category_id": number(n), "iscrowd": number(0)} for n in (1, 2)]
        data = {
            "images": [{"id": image_id, "width": 8, "height": 8, "file_name": f"{name}.jpg"}],
            "categories": [
                {"id": number(1), "name": "road", "isthing": number(0)},
                {"id": number(2), "name": "car", "isthing": number(1)},
            ],
            "annotations": [{"image_id": image_id, "file_name": f"{name}.png", "segments_info": segments}],
        }
        (tmp_path / f"{side}.json").write_text(json.dumps(data))
    found = score_panoptic_files(tmp_path / "t.json", tmp_path / "r.json")
    assert found.all.pq == pytest.approx((24 / 32 + 16 / 24) / 2, abs=1e-12)
    assert (found.all.tp, found.all.fp, found.all.fn) == (2, 0, 0)
