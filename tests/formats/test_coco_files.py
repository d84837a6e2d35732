"""Detection files that are unusual, but can be scored: what is done about them, and the line that says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.errors import FormatError
from detseg.formats.coco_entries import IouType, number_ids
from detseg.formats.coco_results import read_coco_files
from detseg.metrics.detection import DetectionScore, score_coco_files
from tests.metrics.found import FIGURES, detection_cases, pycocotools_stats, to_records

Json = dict[str, Any]

IMAGE = {"id": 1, "width": 40, "height": 40}
BOLT, NUT = {"id": 1, "name": "bolt"}, {"id": 2, "name": "nut"}
TRUE = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 8, 8]}
HIT = {**TRUE, "score": 0.5}
FALSE = {**HIT, "bbox": [20, 20, 8, 8], "score": 0.9}
TRUTH: Json = {"images": [IMAGE], "categories": [BOLT, NUT], "annotations": [TRUE]}


def score(folder: Path, truth: Any, results: Any, iou_type: IouType = "bbox") -> DetectionScore:
    paths = folder / "truth.json", folder / "results.json"
    for path, data in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(data))
    return score_coco_files(*paths, iou_type)


def test_usual_files_have_no_notes(tmp_path: Path) -> None:
    assert score(tmp_path, TRUTH, [HIT]).notes == ()


def test_results_on_images_that_the_truth_lacks_do_not_count(tmp_path: Path) -> None:
    elsewhere = [{**FALSE, "image_id": 8}, {**FALSE, "image_id": 9}, {**FALSE, "image_id": 9}]
    found = score(tmp_path, TRUTH, [HIT, *elsewhere])
    assert (found.ap, found.n_images) == (pytest.approx(1.0), 1)
    assert found.notes == ("detections on images that the truth lacks: 3, on 2 images; they do not count",)


def test_objects_on_images_that_the_results_lack_are_missed(tmp_path: Path) -> None:
    truth = {
        **TRUTH,
        "images": [IMAGE, {**IMAGE, "id": 2}, {**IMAGE, "id": 3}],
        "annotations": [TRUE, {**TRUE, "image_id": 2}],
    }
    found = score(tmp_path, truth, [HIT])
    assert (found.ar_100, found.n_images) == (pytest.approx(0.5), 3)
    assert found.notes == ("images of the truth without a detection: 2 of 3; their objects count as missed",)


def test_images_with_only_false_positives_count(tmp_path: Path) -> None:
    truth = {**TRUTH, "images": [IMAGE, {**IMAGE, "id": 2}]}
    assert score(tmp_path, truth, [HIT]).ap == pytest.approx(1.0)
    assert score(tmp_path, truth, [HIT, {**FALSE, "image_id": 2}]).ap == pytest.approx(0.5)


def test_crowds_are_neither_found_nor_missed(tmp_path: Path) -> None:
    crowd = {**TRUE, "bbox": [15, 15, 20, 20], "iscrowd": 1}
    truth = {**TRUTH, "annotations": [TRUE, crowd]}
    found = score(tmp_path, truth, [HIT, FALSE, {**FALSE, "bbox": [18, 18, 8, 8]}])  # both inside the crowd
    assert (found.ap, found.ar_100) == (pytest.approx(1.0), pytest.approx(1.0))
    assert found.per_class["bolt"].n_truth == 1
    assert found.notes == ("crowds in the truth: 1; they are neither found nor missed",)


@pytest.mark.parametrize(
    ("in_truth", "in_results"), [(7, "7"), ("7", 7), ("7", "7"), ("007", 7), ("a.jpg", "a.jpg"), ("", "")]
)
def test_ids_that_are_text(tmp_path: Path, in_truth: Any, in_results: Any) -> None:
    truth = {
        "images": [{**IMAGE, "id": in_truth}, {**IMAGE, "id": "other"}],
        "categories": [{**BOLT, "id": "x"}, {**NUT, "id": 0}],
        "annotations": [{**TRUE, "id": "t1", "image_id": in_truth, "category_id": "x"}],
    }
    found = score(tmp_path, truth, [{**HIT, "image_id": in_results, "category_id": "x"}])
    assert found.ap == pytest.approx(1.0)
    assert {name: one.n_truth for name, one in found.per_class.items()} == {"nut": 0, "bolt": 1}
    assert found.notes[0].startswith("entries with text as ids: ")
    assert found.notes[0].endswith("digits are the number that they spell, others are names")


@settings(max_examples=60, deadline=None)
@given(detection_cases(), st.sampled_from(["{}", "{:04}", "photo {}"]))
def test_text_ids_give_the_figures_of_the_same_numbers(
    tmp_path_factory: pytest.TempPathFactory, cases: list[Any], form: str
) -> None:
    truth, results = to_records(cases, "bbox")

    def renamed(entry: Json) -> Json:
        return {**entry, "image_id": form.format(entry["image_id"])}

    named = {
        **truth,
        "images": [{**image, "id": form.format(image["id"])} for image in truth["images"]],
        "annotations": [renamed(entry) for entry in truth["annotations"]],
    }
    found = score(tmp_path_factory.mktemp("coco"), named, [renamed(entry) for entry in results])
    assert [getattr(found, name) for name in FIGURES] == pytest.approx(
        pycocotools_stats(truth, results, "bbox"), abs=1e-9
    )


@given(st.lists(st.one_of(st.integers(0, 99), st.text(max_size=3)), max_size=8))
def test_every_id_has_a_number_of_its_own(ids: list[int | str]) -> None:
    numbers = number_ids(ids)
    given = {numbers.number(id_) for id_ in ids}
    spelled = {int(id_) if isinstance(id_, str) and id_.isascii() and id_.isdecimal() else id_ for id_ in ids}
    assert all(isinstance(number, int) and number >= 0 for number in given)
    assert len(given) == len(spelled)


def test_fields_that_are_not_needed_may_be_anything(tmp_path: Path) -> None:
    truth = {
        "info": 3,
        "images": [{**IMAGE, "file_name": 5, "license": "x"}],
        "categories": [{**BOLT, "supercategory": 7}],
        "annotations": [{**TRUE, "id": "x", "segmentation": "zz", "keypoints": {}}],
    }
    assert score(tmp_path, truth, [{**HIT, "id": "q", "segmentation": 4}]).ap == pytest.approx(1.0)


def test_polygons_need_the_size_of_their_image(tmp_path: Path) -> None:
    triangle = {"segmentation": [[1, 1, 9, 1, 9, 9]], "area": 32}
    truth = {**TRUTH, "annotations": [{**TRUE, **triangle}]}
    results = [{**HIT, **triangle, "bbox": []}]
    assert score(tmp_path, truth, results, "segm").ap == pytest.approx(1.0)
    with pytest.raises(FormatError, match="annotations 0: polygons need width and height of their image"):
        score(tmp_path, {**truth, "images": [{"id": 1}]}, results, "segm")
    with pytest.raises(FormatError, match="annotations 0: polygons need width and height of their image"):
        score(tmp_path, {**truth, "images": [{"id": 1, "width": 0, "height": 9}]}, results, "segm")
    with pytest.raises(FormatError, match=r"annotations 0: it has no segmentation: .* \(--iou-type bbox\)"):
        score(tmp_path, TRUTH, [HIT], "segm")


def test_what_is_read_has_numbers_only(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({**TRUTH, "images": [{**IMAGE, "id": "1"}]}))
    (tmp_path / "r.json").write_text(json.dumps([{**HIT, "category_id": "1"}]))
    files = read_coco_files(tmp_path / "t.json", tmp_path / "r.json", "bbox")
    assert [image["id"] for image in files.truth.images] == [1]
    assert [entry["category_id"] for entry in files.results] == [1]
