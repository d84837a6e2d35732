import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torchmetrics.detection import PanopticQuality as Oracle

from detseg.errors import FormatError
from detseg.geometry.masks import bitmap_to_mask
from detseg.metrics.panoptic import PanopticScore, paint_segments, panoptic_quality
from detseg.metrics.panoptic_files import score_panoptic_files
from detseg.types import Annotation, Kind, Region, Size
from tests.metrics.made import annotation, block, boxed, masked

KINDS: dict[str, Kind] = {"belt": "stuff", "bolt": "thing", "nut": "thing", "tray": "stuff"}
NUMBERS = {"belt": 1, "bolt": 2, "nut": 3, "tray": 4}
Numbers = npt.NDArray[np.int64]


def test_quality_by_hand() -> None:
    truth = [masked("t1", "bolt", block(0, 0, 10, 10)), masked("t2", "bolt", block(20, 0, 30, 10))]
    found = [
        masked("p1", "bolt", block(0, 0, 10, 8), score=0.9),  # IoU 0.8: a match
        masked("p2", "bolt", block(20, 0, 25, 10), score=0.8),  # IoU 0.5: not above it
        masked("p3", "nut", block(0, 20, 10, 30), score=0.7),
    ]
    quality = panoptic_quality([annotation(truth)], [annotation(found)])
    bolt = PanopticScore(pq=pytest.approx(0.4), sq=0.8, rq=0.5, tp=1, fp=1, fn=1)
    assert quality.per_class == {"bolt": bolt, "nut": PanopticScore(0.0, 0.0, 0.0, tp=0, fp=1, fn=0)}
    assert quality.all.pq == pytest.approx(0.2)
    assert quality.things == quality.all
    assert quality.stuff == PanopticScore(None, None, None)


def test_a_perfect_prediction_is_one_and_nothing_is_undefined() -> None:
    scene = annotation([masked("a", "belt", block(0, 0, 40, 30), kind="stuff")])
    quality = panoptic_quality([scene], [scene])
    assert (quality.all.pq, quality.stuff.pq, quality.things.pq) == (1.0, 1.0, None)
    assert panoptic_quality([], []).all.pq is None
    assert panoptic_quality([annotation()], [annotation()]).all.pq is None


def test_what_a_person_deleted_is_a_false_alarm() -> None:
    found = [masked("p", "bolt", block(0, 0, 10, 10), score=0.9)]
    assert panoptic_quality([annotation()], [annotation(found)]).per_class["bolt"].fp == 1
    skipped = annotation(state="skipped")
    assert panoptic_quality([skipped], [annotation(found)]).per_class == {}


def test_every_pixel_has_one_owner() -> None:
    low = masked("low", "nut", block(0, 0, 20, 10), score=0.3)
    high = masked("high", "bolt", block(10, 0, 30, 10), score=0.9)
    hidden = masked("hidden", "nut", block(12, 2, 14, 4), score=0.2)
    owners, regions = paint_segments(annotation([low, hidden, high, boxed("b", "nut", (0, 0, 5, 5), 0.9)]))
    assert [region.id for region in regions] == ["high", "low"]
    assert owners[5, 15] == 1
    assert owners[5, 5] == 2
    assert owners[20, 5] == 0
    assert np.bincount(owners.ravel()).tolist() == [40 * 30 - 300, 200, 100]


def test_a_persons_thing_lies_on_the_stuff_and_the_small_on_the_large() -> None:
    belt = masked("belt", "belt", block(0, 0, 40, 30), kind="stuff")
    gear = masked("gear", "nut", block(0, 0, 20, 20))
    bolt = masked("bolt", "bolt", block(5, 5, 10, 10))
    for order in ([belt, gear, bolt], [bolt, gear, belt]):
        owners, regions = paint_segments(annotation(order))
        at = {region.id: n + 1 for n, region in enumerate(regions)}
        assert (owners[7, 7], owners[1, 1], owners[25, 35]) == (at["bolt"], at["gear"], at["belt"])


def test_a_mask_of_another_size_than_its_image_is_named() -> None:
    wrong = annotation([masked("r7", "bolt", block(0, 0, 5, 5, size=Size(10, 10)))])
    with pytest.raises(FormatError, match=r"sha256:1 is 40x30, the mask of its region r7 is 10x10"):
        panoptic_quality([wrong], [annotation()])


# ---- torchmetrics and panopticapi's rules as oracles, on scenes that cover every pixel ----


def scene(rng: np.random.Generator, shift: int) -> tuple[Numbers, list[str]]:
    """Which segment owns each pixel, and the label of each segment."""
    owners = np.zeros((60, 80), dtype=np.int64)
    owners[:, 60 + shift :] = 1
    labels = ["belt", "tray"]
    for n in range(6):
        y, x = rng.integers(0, 40, 2)
        label = ["bolt", "nut"][int(rng.integers(0, 2))]
        owners[y : y + 15, x + shift : x + shift + 15] = len(labels)
        labels.append(label)
        if n == 3:
            rng.integers(0, 2, shift + 1)  # from here on the two scenes of a pair differ
    return owners, labels


def as_annotation(owners: Numbers, labels: list[str], *, image: str, score: float | None) -> Annotation:
    regions: list[Region] = []
    for n, label in enumerate(labels):
        if (owners == n).any():
            mask = bitmap_to_mask(owners == n)
            regions.append(masked(f"{image}-{n}", label, mask, score=score, kind=KINDS[label]))
    return annotation(regions, image=image, size=Size(80, 60))


def as_tensor(owners: Numbers, labels: list[str]) -> torch.Tensor:
    categories = np.array([NUMBERS[label] for label in labels])[owners]
    things = np.array([KINDS[label] == "thing" for label in labels])[owners]
    return torch.tensor(np.stack([categories, np.where(things, owners, 0)], axis=-1))[None]


def pairs_of_scenes() -> list[tuple[tuple[Numbers, list[str]], tuple[Numbers, list[str]]]]:
    return [
        (scene(np.random.default_rng(seed), 0), scene(np.random.default_rng(seed), 1 + seed % 3))
        for seed in range(12)
    ]


def test_quality_is_that_of_torchmetrics() -> None:
    oracle = Oracle(things={2, 3}, stuffs={1, 4}, return_sq_and_rq=True)
    per_class = Oracle(things={2, 3}, stuffs={1, 4}, return_per_class=True)
    truth, predictions = [], []
    for n, (true, found) in enumerate(pairs_of_scenes()):
        truth.append(as_annotation(*true, image=f"sha256:{n}", score=None))
        predictions.append(as_annotation(*found, image=f"sha256:{n}", score=0.5))
        oracle.update(as_tensor(*found), as_tensor(*true))
        per_class.update(as_tensor(*found), as_tensor(*true))
    quality = panoptic_quality(truth, predictions)
    assert quality.all.tp > 20
    assert quality.things.fp > 5
    ours = (quality.all.pq, quality.all.sq, quality.all.rq)
    assert ours == pytest.approx(tuple(oracle.compute().tolist()), abs=1e-6)  # in float32
    theirs = dict(zip(("bolt", "nut", "belt", "tray"), per_class.compute()[0].tolist(), strict=True))
    assert {label: score.pq for label, score in quality.per_class.items()} == pytest.approx(theirs, abs=1e-6)


def write_panoptic(folder: Path, name: str, scenes: list[tuple[Numbers, list[str]]]) -> Path:
    (folder / name).mkdir()
    annotations = []
    for n, (owners, labels) in enumerate(scenes):
        ids = owners + 250  # beyond one byte, so that the colour has to be decoded
        png = np.stack([ids % 256, ids // 256, np.zeros_like(ids)], axis=-1).astype(np.uint8)
        Image.fromarray(png).save(folder / name / f"{n}.png")
        segments = [
            {
                "id": int(i) + 250,
                "category_id": NUMBERS[labels[i]],
                "iscrowd": 0,
                "area": 1,
                "bbox": [0, 0, 1, 1],
            }
            for i in np.unique(owners)
        ]
        annotations.append({"image_id": n, "file_name": f"{n}.png", "segments_info": segments})
    data: dict[str, Any] = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 80, "height": 60} for n in range(len(scenes))],
        "categories": [
            {"id": NUMBERS[label], "name": label, "isthing": int(KINDS[label] == "thing")} for label in KINDS
        ],
        "annotations": annotations,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    pairs = pairs_of_scenes()
    truth = write_panoptic(tmp_path, "truth", [true for true, _ in pairs])
    return truth, write_panoptic(tmp_path, "results", [found for _, found in pairs])


def test_files_and_annotations_score_the_same(files: tuple[Path, Path]) -> None:
    pairs = pairs_of_scenes()
    by_records = panoptic_quality(
        [as_annotation(*true, image=f"sha256:{n}", score=None) for n, (true, _) in enumerate(pairs)],
        [as_annotation(*found, image=f"sha256:{n}", score=0.5) for n, (_, found) in enumerate(pairs)],
    )
    by_files = score_panoptic_files(*files)
    for group in ("all", "things", "stuff"):
        ours, theirs = getattr(by_records, group), getattr(by_files, group)
        assert (ours.pq, ours.sq, ours.rq) == pytest.approx((theirs.pq, theirs.sq, theirs.rq), abs=1e-12)
        assert (ours.tp, ours.fp, ours.fn) == (theirs.tp, theirs.fp, theirs.fn)
    assert list(by_files.per_class) == sorted(by_files.per_class) == list(by_records.per_class)


def test_folders_can_be_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    truth, results = files
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "results").rename(elsewhere)
    assert score_panoptic_files(truth, results, results_masks=elsewhere).all.pq is not None
    with pytest.raises(FormatError, match=r"folder of panoptic PNGs .*results does not exist"):
        score_panoptic_files(truth, results)


def test_an_area_that_is_wrong_in_the_file_changes_nothing(files: tuple[Path, Path]) -> None:
    right = score_panoptic_files(*files)
    data = json.loads(files[0].read_text())
    for entry in data["annotations"]:
        for segment in entry["segments_info"]:
            segment["area"] = 7_000
    change(files[0], **data)
    assert score_panoptic_files(*files) == right


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_panoptic_files_that_are_not_what_they_say(files: tuple[Path, Path]) -> None:
    truth, results = files
    good_truth, good_results = truth.read_text(), results.read_text()
    annotations = json.loads(good_results)["annotations"]
    foreign = {"image_id": 99, "file_name": "99.png", "segments_info": []}
    for path, values, message in (
        (
            truth,
            {"categories": None},
            r'truth\.json is not COCO panoptic: expected an object with a list under "categories"',
        ),
        (truth, {"categories": [{"id": 1, "name": "belt"}]}, "categories 0: expected id, name and isthing"),
        (
            results,
            {"annotations": annotations[1:]},
            "cannot be compared: no prediction for the image with id 0",
        ),
        (results, {"annotations": [*annotations, foreign]}, r"results\.json: image_id 99 is not in"),
        (results, {"annotations": [{**annotations[0], "segments_info": []}, *annotations[1:]]}, "image 0"),
        (results, {"annotations": [{**annotations[0], "file_name": "no.png"}, *annotations[1:]]}, r"no\.png"),
    ):
        change(path, **values)
        with pytest.raises(FormatError, match=message):
            score_panoptic_files(truth, results)
        truth.write_text(good_truth)
        results.write_text(good_results)
    for entry in (None, {"image_id": [1]}, {**annotations[0], "segments_info": ["a"]}):
        change(results, annotations=[entry])
        with pytest.raises(FormatError, match="annotations 0: expected image_id, file_name"):
            score_panoptic_files(truth, results)
    results.write_text("[]")
    with pytest.raises(FormatError, match="not COCO panoptic"):
        score_panoptic_files(truth, results)
