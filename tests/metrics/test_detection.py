import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detseg.errors import FormatError
from detseg.formats.coco_entries import IouType
from detseg.metrics.detection import DetectionQuality, DetectionTally, score_annotations, score_coco_files
from detseg.types import Annotation, Box, Region
from tests.metrics.found import FIGURES, SQUARE, Json, pycocotools_stats
from tests.metrics.made import annotation, block, boxed, case, masked


def write(folder: Path, truth: Any, results: Any) -> tuple[Path, Path]:
    paths = folder / "truth.json", folder / "results.json"
    for path, data in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(data))
    return paths


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_the_reference_files_give_the_reference_figures(shared_data: Path, iou_type: IouType) -> None:
    folder = shared_data / "cocoapi"
    expected = json.loads((folder / "expected.json").read_text())["stats"][iou_type]
    score = asdict(
        score_coco_files(
            folder / "instances_val2014_100.json",
            folder / f"instances_val2014_fake{iou_type}100_results.json",
            iou_type,
        )
    )
    assert [score[name] for name in FIGURES] == pytest.approx(expected, abs=1e-6)
    aps = [one["ap"] for one in score["per_class"].values() if one["ap"] is not None]
    assert np.mean(aps) == pytest.approx(expected[0], abs=1e-6)
    assert len(score["per_class"]) == 80


# ---- pycocotools as the oracle ----


@st.composite
def coco_cases(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """Few images and classes, ids from 0 in any order, boxes that collide, doubled and empty lists."""
    image_ids = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True))
    category_ids = draw(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
    images = [{"id": i, "width": 200, "height": 200} for i in image_ids]
    categories = [{"id": i, "name": f"c{i}"} for i in category_ids]
    side = st.sampled_from([4, 20, 22, 40, 100, 120])
    box = st.tuples(st.integers(0, 30), st.integers(0, 30), side, side).map(list)
    entry = st.fixed_dictionaries(
        {"image_id": st.sampled_from(image_ids), "category_id": st.sampled_from(category_ids), "bbox": box}
    )
    annotations = draw(st.lists(entry, max_size=8))
    results = draw(st.lists(entry, max_size=10))
    near = [{**one} for one in annotations if draw(st.booleans())]
    results = draw(st.permutations(results + near + results[: draw(st.integers(0, 3))]))
    results = [{**one, "score": draw(st.integers(1, 8)) / 8} for one in results]  # some are equal
    truth = {
        "images": images,
        "categories": categories,
        "annotations": [
            {
                **one,
                "id": i,
                "iscrowd": int(draw(st.integers(0, 9)) == 0),
                "area": one["bbox"][2] * one["bbox"][3],
            }
            for i, one in enumerate(annotations)
        ],
    }
    return truth, draw(st.permutations(results))


def as_masks(entries: list[Json]) -> list[Json]:
    """Boxes painted as run lengths."""
    painted = []
    for entry in entries:
        x, y, width, height = entry["bbox"]
        mask = block(x, y, x + width, y + height, size=SQUARE)
        painted.append({**entry, "segmentation": {"size": [200, 200], "counts": list(mask.counts)}})
    return painted


@settings(max_examples=200, deadline=None)
@given(coco_cases(), st.sampled_from(["bbox", "segm"]))
def test_the_figures_are_those_of_pycocotools(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[Json, list[Json]], iou_type: IouType
) -> None:
    truth, results = case
    if iou_type == "segm":
        truth = {**truth, "annotations": as_masks(truth["annotations"])}
        results = as_masks(results)
    score = score_coco_files(*write(tmp_path_factory.mktemp("coco"), truth, results), iou_type)
    ours = [getattr(score, name) for name in FIGURES]
    oracle = (
        truth if iou_type == "bbox" else {**truth, "annotations": [*map(compressed, truth["annotations"])]}
    )
    theirs = pycocotools_stats(
        oracle, results if iou_type == "bbox" else [*map(compressed, results)], iou_type
    )
    assert [value is None for value in ours] == [value is None for value in theirs]
    assert [v or 0.0 for v in ours] == pytest.approx([v or 0.0 for v in theirs], abs=1e-9)


def compressed(entry: Json) -> Json:
    """pycocotools reads compressed run lengths only where results are concerned."""
    from pycocotools import mask

    rle = mask.frPyObjects(entry["segmentation"], 200, 200)
    return {**{key: value for key, value in entry.items() if key != "bbox"}, "segmentation": rle}


# ---- what is not what it says ----

IMAGE = {"id": 0, "width": 10, "height": 10}
CATEGORY = {"id": 0, "name": "bolt"}
TRUTH = {
    "images": [IMAGE],
    "categories": [CATEGORY],
    "annotations": [{"id": 0, "image_id": 0, "category_id": 0, "bbox": [1, 1, 4, 4]}],
}
FOUND = {"image_id": 0, "category_id": 0, "bbox": [1, 1, 4, 4], "score": 0.5}
RUNS = {"size": [10, 10], "counts": [0, 20, 80]}


def test_a_truth_with_id_zero_and_without_area_and_crowd_is_found(tmp_path: Path) -> None:
    score = score_coco_files(*write(tmp_path, TRUTH, [FOUND]), "bbox")
    assert score.ap == pytest.approx(1.0)
    assert score.ap_small == pytest.approx(1.0)
    assert score.ap_large is None
    assert score.per_class["bolt"].n_truth == 1


def test_nothing_found_is_zero_and_nothing_to_find_is_undefined(tmp_path: Path) -> None:
    assert score_coco_files(*write(tmp_path, TRUTH, []), "bbox").ap == 0.0
    only_false = score_coco_files(*write(tmp_path, {**TRUTH, "annotations": []}, [FOUND]), "bbox")
    assert only_false.ap is None
    assert only_false.ar_100 is None
    empty = {"images": [], "categories": [], "annotations": []}
    assert score_coco_files(*write(tmp_path, empty, []), "bbox").ap is None


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([], "expected one object, not a list"),
        ({"images": []}, 'a list under "annotations"'),
        ({**TRUTH, "images": [IMAGE, IMAGE]}, "images: the id 0 is there twice"),
        ({**TRUTH, "images": [{"id": 0.5}]}, "images 0: expected an object with a whole number or text"),
        ({**TRUTH, "images": [IMAGE, {**IMAGE, "id": "0"}]}, "images: the id 0 is there twice"),
        ({**TRUTH, "categories": [CATEGORY, {"id": 1, "name": "bolt"}]}, "the name 'bolt' is there twice"),
        ({**TRUTH, "categories": [{"id": 0}]}, "categories 0"),
        ({**TRUTH, "annotations": [{"image_id": 0, "category_id": 0}]}, "annotations 0: expected bbox"),
        ({**TRUTH, "annotations": [{**TRUTH["annotations"][0], "area": None}]}, "as area, not None"),
        ({**TRUTH, "annotations": [{**TRUTH["annotations"][0], "iscrowd": "no"}]}, "0 or 1 as iscrowd"),
        ({**TRUTH, "images": [{"id": 2**70}]}, "images 0: expected an object with a whole number"),
    ],
)
def test_a_truth_file_that_is_not_one(tmp_path: Path, truth: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        score_coco_files(*write(tmp_path, truth, []), "bbox")
    assert "truth.json" in str(caught.value)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"boxes": []}, "expected one list of detections, or .*, not an object"),
        ({"annotations": []}, "a COCO dataset, not results: expected the detections .* under .annotations."),
        ([3], "detection 0: expected an object, not 3"),
        ([{**FOUND, "image_id": 7}, {**FOUND, "image_id": "b"}], "no detection on any image of .*truth.json"),
        ([{**FOUND, "category_id": 7}], "category_id 7 is not in the truth file"),
        ([FOUND, {**FOUND, "image_id": None}], "detection 1: expected a whole number or text as image_id"),
        ([{**FOUND, "category_id": "nut"}], "category_id 'nut' is not in the truth file"),
        ([{**FOUND, "bbox": [1, 2, 3]}], "expected bbox"),
        ([{**FOUND, "bbox": ["1", 2, 3, 4]}], "expected bbox"),
        ([{**FOUND, "bbox": [float("nan"), 2, 3, 4]}], "expected bbox .* finite"),
        ([{**FOUND, "bbox": [5, 5, -3, 4]}], "negative width"),
        ([{key: FOUND[key] for key in ("image_id", "category_id", "bbox")}], "as score, not None"),
        ([{**FOUND, "score": 10**400}], "expected a finite number as score"),
        ([{**FOUND, "bbox": [1e308, 0, 1e308, 5]}], "a bbox has finite corners"),
    ],
)
def test_a_results_file_that_is_not_one(tmp_path: Path, results: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        score_coco_files(*write(tmp_path, TRUTH, results), "bbox")
    assert "results.json" in str(caught.value)


def test_polygons_on_an_image_that_is_too_large_for_a_mask(tmp_path: Path) -> None:
    images = [{**TRUTH["images"][0], "width": 2**30, "height": 2**30}]
    drawn = {**TRUTH["annotations"][0], "segmentation": [[0, 0, 5, 0, 5, 5]]}
    truth = {**TRUTH, "images": images, "annotations": [drawn]}
    with pytest.raises(FormatError, match=r"a mask has fewer than 2\*\*32 pixels"):
        score_coco_files(*write(tmp_path, truth, []), "segm")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "it has no segmentation: compare boxes"),
        ({"size": [10, 12], "counts": [120]}, r"the mask is \[10, 12\], its image \[10, 10\]"),
        ({"size": [10, 10], "counts": [5]}, "the run lengths sum to 5"),
        ({"size": [10, 10], "counts": [-5, 105]}, "expected run lengths"),
        ({"size": [10, 10], "counts": [2**40]}, "a mask has fewer than 2.*32 pixels, not 1099511627776"),
        ({"size": [10, 10], "counts": "~~~"}, "not a compressed COCO mask"),
        ({"size": [10, 10], "counts": None}, "expected run lengths"),
        ([[1, 1, 5, 5]], "expected a polygon"),
        ([[1, 1, 5, 5, 5, None]], "expected a polygon"),
        ([], "no polygon"),
    ],
)
def test_a_mask_that_is_not_one(tmp_path: Path, mask: Any, message: str) -> None:
    truth = {**TRUTH, "annotations": [{**TRUTH["annotations"][0], "segmentation": RUNS}]}
    good = score_coco_files(*write(tmp_path, truth, [{**FOUND, "segmentation": RUNS}]), "segm")
    assert good.ap == pytest.approx(1.0)
    with pytest.raises(FormatError, match=message):
        score_coco_files(*write(tmp_path, truth, [{**FOUND, "segmentation": mask}]), "segm")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    truth, results = write(tmp_path, TRUTH, [])
    with pytest.raises(FormatError, match=r"nowhere\.json cannot be read: No such file"):
        score_coco_files(tmp_path / "nowhere.json", results, "bbox")
    results.write_text("[{]")
    with pytest.raises(FormatError, match="is not JSON"):
        score_coco_files(truth, results, "bbox")
    results.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(FormatError, match="is not JSON"):
        score_coco_files(truth, results, "bbox")


# ---- annotations ----


def test_the_score_of_annotations_is_that_of_their_coco_records() -> None:
    rng = np.random.default_rng(5)
    truth, predictions = [], []
    images, annotations, results = [], [], []
    for n in range(1, 6):
        true, found = [], []
        images.append({"id": n, "width": 40, "height": 30})
        for k in range(4):
            x, y = (int(v) for v in rng.integers(0, 20, 2))
            label = int(rng.integers(0, 2))
            shift = int(rng.integers(0, 4))
            score = float(rng.random())
            true.append(boxed(f"t{k}", "ab"[label], (x, y, x + 10, y + 10)))
            found.append(boxed(f"p{k}", "ab"[label], (x + shift, y, x + 10 + shift, y + 10), score))
            entry = {"image_id": n, "category_id": label + 1}
            annotations.append(
                {**entry, "id": len(annotations) + 1, "bbox": [x, y, 10, 10], "area": 100, "iscrowd": 0}
            )
            results.append({**entry, "bbox": [x + shift, y, 10, 10], "score": score})
        truth.append(annotation(true, image=f"sha256:{n}"))
        predictions.append(annotation(found, image=f"sha256:{n}", author="m@1"))
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    dataset = {"images": images, "categories": categories, "annotations": annotations}
    expected = pycocotools_stats(dataset, results, "bbox")
    score = score_annotations(truth, predictions[::-1], "bbox")
    assert 0.1 < (score.ap or 0) < 0.99
    assert [getattr(score, name) for name in FIGURES] == pytest.approx(expected, abs=1e-9)
    assert score.n_images == 5


def test_what_nobody_reviewed_does_not_count_and_what_is_empty_does() -> None:
    hit = boxed("t", "bolt", (2, 2, 12, 12))
    found = boxed("p", "bolt", (2, 2, 12, 12), 0.5)
    false = boxed("p", "bolt", (2, 2, 12, 12), 0.9)

    def score(*others: tuple[str, str]) -> float | None:
        truth = [annotation([hit], image="a")]
        predictions = [annotation([found], image="a")]
        for image, state in others:
            truth.append(annotation(image=image, state=state))  # type: ignore[arg-type]
            predictions.append(annotation([false], image=image))
        return score_annotations(truth, [*predictions, annotation([false], image="unseen")], "bbox").ap

    assert score() == pytest.approx(1.0)
    assert score(("b", "skipped"), ("c", "unlabeled")) == pytest.approx(1.0)
    assert score(("b", "empty")) == pytest.approx(0.5)


def test_stuff_is_no_object_and_a_mask_brings_its_box() -> None:
    belt = masked("s", "belt", block(0, 0, 40, 30), kind="stuff")
    truth = [annotation([belt, masked("t", "bolt", block(2, 2, 12, 12))])]
    predictions = [annotation([boxed("p", "bolt", (2, 2, 12, 12), 0.5)])]
    score = score_annotations(truth, predictions, "bbox")
    assert score.ap == pytest.approx(1.0)
    assert set(score.per_class) == {"bolt"}
    by_mask = score_annotations(truth, predictions, "segm")
    assert by_mask.ap == 0.0
    assert by_mask.per_class["bolt"].n_truth == 1


def test_no_reviews_at_all_is_undefined() -> None:
    score = score_annotations([], [annotation([boxed("p", "bolt", (2, 2, 12, 12), 0.5)])], "bbox")
    assert (score.ap, score.ar_100, dict(score.per_class), score.n_images) == (None, None, {}, 0)
    nothing = DetectionTally("bbox").result()
    assert dict(nothing.curves) == {}
    assert nothing.confusion.counts == ((0,),)


def measured(truth: Annotation, found: Sequence[Region], *, min_score: float = 0.0) -> DetectionQuality:
    tally = DetectionTally("bbox", min_score=min_score)
    tally.add(case(annotation(found), truth))
    return tally.result()


def test_the_curve_of_a_model_that_is_right_half_of_the_time() -> None:
    truth = annotation([boxed("t", "bolt", (0, 0, 10, 10)), boxed("u", "bolt", (20, 10, 30, 20))])
    found = [boxed("p", "bolt", (20, 10, 30, 20), 0.9), boxed("q", "bolt", (0, 15, 8, 25), 0.8)]
    late = boxed("r", "bolt", (0, 0, 10, 10), 0.4)
    curve = measured(truth, [*found, late]).curves["bolt"]
    assert len(curve.recall) == len(curve.precision) == len(curve.score) == 101
    assert (curve.recall[0], curve.recall[-1]) == (0.0, 1.0)
    assert curve.precision[0] == curve.precision[50] == pytest.approx(1.0)
    assert curve.precision[51] == curve.precision[100] == pytest.approx(2 / 3)
    assert (curve.score[50], curve.score[100]) == (0.9, 0.4)
    never = measured(truth, found).curves["bolt"]
    assert (never.precision[100], never.score[100]) == (0.0, 0.0)


def test_confusion_counts_swapped_labels_false_alarms_and_misses() -> None:
    truth = annotation([boxed("t", "bolt", (0, 0, 10, 10)), boxed("u", "nut", (20, 10, 30, 20))])
    found = [
        boxed("p", "nut", (0, 0, 10, 10), 0.9),
        boxed("q", "bolt", (30, 0, 38, 8), 0.8),
        boxed("r", "nut", (20, 10, 30, 20), 0.3),
    ]
    table = measured(truth, found, min_score=0.5).confusion
    assert table.labels == ("bolt", "nut")
    assert table.counts == ((0, 1, 0), (0, 0, 1), (1, 0, 0))
    lower = measured(truth, found, min_score=0.3).confusion
    assert lower.counts == ((0, 1, 0), (0, 1, 0), (1, 0, 0))


def test_a_thing_with_both_counts_by_the_size_of_its_mask() -> None:
    region = masked("t", "bolt", block(2, 2, 12, 12), box=Box(0, 0, 40, 30))
    predicted = masked("p", "bolt", block(2, 2, 12, 12), score=0.5, box=Box(0, 0, 40, 30))
    score = score_annotations([annotation([region])], [annotation([predicted])], "bbox")
    assert score.ap_small == pytest.approx(1.0)
    assert score.ap_medium is None
