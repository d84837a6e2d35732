from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from detseg.errors import FormatError
from detseg.metrics.panoptic import PanopticScore, panoptic_quality, score_panoptic_files
from tests.images.made import flat_png
from tests.metrics.scene_maps import (
    NUMBERS,
    SceneMap,
    as_annotation,
    edit,
    pairs_of_scenes,
    write_panoptic,
)

Files = tuple[Path, Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    pairs = pairs_of_scenes()
    truth = write_panoptic(tmp_path, "truth", [true for true, _ in pairs])
    return truth, write_panoptic(tmp_path, "results", [found for _, found in pairs])


def test_files_and_annotations_score_the_same(files: Files) -> None:
    pairs = pairs_of_scenes()
    by_records = panoptic_quality(
        [as_annotation(true, image=f"sha256:{n}", score=None) for n, (true, _) in enumerate(pairs)],
        [as_annotation(found, image=f"sha256:{n}", score=0.5) for n, (_, found) in enumerate(pairs)],
    )
    by_files = score_panoptic_files(*files)
    for group in ("all", "things", "stuff"):
        ours, theirs = getattr(by_records, group), getattr(by_files, group)
        assert (ours.pq, ours.sq, ours.rq) == pytest.approx((theirs.pq, theirs.sq, theirs.rq), abs=1e-12)
        assert (ours.tp, ours.fp, ours.fn) == (theirs.tp, theirs.fp, theirs.fn)
    assert list(by_files.per_class) == sorted(by_files.per_class) == list(by_records.per_class)


# ---- panopticapi's rules, as its evaluation.py has them ----


@dataclass
class Counted:
    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0


def panopticapi(truth_path: Path, results_path: Path) -> dict[int, Counted]:
    """``pq_compute_single_core`` for files without faults."""
    counted: defaultdict[int, Counted] = defaultdict(Counted)
    answers = {entry["image_id"]: entry for entry in json.loads(results_path.read_text())["annotations"]}
    for true in json.loads(truth_path.read_text())["annotations"]:
        found = answers[true["image_id"]]
        sides = [
            (read_ids(path.with_suffix("") / entry["file_name"]), entry["segments_info"])
            for path, entry in ((truth_path, true), (results_path, found))
        ]
        count_image(*sides, counted)
    return counted


def count_image(truth: Any, found: Any, counted: defaultdict[int, Counted]) -> None:
    truth_ids, truth_segments = truth[0], {segment["id"]: segment for segment in truth[1]}
    found_ids, found_segments = found[0], {segment["id"]: segment for segment in found[1]}
    area = {
        (i, j): int(((truth_ids == i) & (found_ids == j)).sum())
        for i in (0, *truth_segments)
        for j in (0, *found_segments)
    }
    truth_matched, found_matched = set(), set()
    for i, true in truth_segments.items():
        for j, segment in found_segments.items():
            if true["iscrowd"] or true["category_id"] != segment["category_id"]:
                continue
            union = (truth_ids == i).sum() + (found_ids == j).sum() - area[i, j] - area[0, j]
            if area[i, j] / union > 0.5:
                counted[true["category_id"]].tp += 1
                counted[true["category_id"]].iou += area[i, j] / union
                truth_matched.add(i)
                found_matched.add(j)
    crowds = {segment["category_id"]: i for i, segment in truth_segments.items() if segment["iscrowd"]}
    for i, true in truth_segments.items():
        counted[true["category_id"]].fn += i not in truth_matched and not true["iscrowd"]
    for j, segment in found_segments.items():
        if j not in found_matched:
            ignored = area[0, j]
            if segment["category_id"] in crowds:
                ignored += area[crowds[segment["category_id"]], j]
            counted[segment["category_id"]].fp += ignored / (found_ids == j).sum() <= 0.5


def read_ids(path: Path) -> npt.NDArray[np.int64]:
    rgb = np.asarray(Image.open(path)).astype(np.int64)
    ids: npt.NDArray[np.int64] = rgb[:, :, 0] + 256 * rgb[:, :, 1] + 256 * 256 * rgb[:, :, 2]
    return ids


def check_against_panopticapi(files: Files) -> None:
    expected = panopticapi(*files)
    scored = score_panoptic_files(*files).per_class
    for name, number in NUMBERS.items():
        theirs, ours = expected[number], scored[name]
        assert (ours.tp, ours.fp, ours.fn) == (theirs.tp, theirs.fp, theirs.fn), name
        if theirs.tp:
            assert ours.sq == pytest.approx(theirs.iou / theirs.tp, abs=1e-12)


def test_quality_of_files_is_that_of_panopticapi(files: Files) -> None:
    check_against_panopticapi(files)


def test_crowds_are_neither_missed_nor_matched_and_excuse_what_lies_in_them(files: Files) -> None:
    before = score_panoptic_files(*files)

    def crowd(data: Any) -> None:
        for entry in data["annotations"]:
            for segment in entry["segments_info"]:
                segment["iscrowd"] = int(segment["category_id"] == NUMBERS["bolt"])

    edit(files[0], crowd)
    check_against_panopticapi(files)
    after = score_panoptic_files(*files).per_class["bolt"]
    assert (after.tp, after.fn) == (0, 0)
    assert after.fp < before.per_class["bolt"].fp + before.per_class["bolt"].tp
    assert score_panoptic_files(*files).per_class["belt"] == before.per_class["belt"]


def test_void_of_the_truth_counts_for_nobody(files: Files) -> None:
    for path in sorted(files[0].with_suffix("").glob("*.png")):
        rgb = np.asarray(Image.open(path)).copy()
        rgb[10:45, 20:70] = 0
        Image.fromarray(rgb).save(path)
    ids = {n: read_ids(files[0].with_suffix("") / f"{n}.png") for n in range(12)}

    def without_pixels(data: Any) -> None:
        for entry in data["annotations"]:
            there = set(np.unique(ids[entry["image_id"]]).tolist())
            entry["segments_info"] = [s for s in entry["segments_info"] if s["id"] in there]

    edit(files[0], without_pixels)
    check_against_panopticapi(files)


def test_images_without_segments_and_files_without_images(tmp_path: Path) -> None:
    nothing: SceneMap = (np.zeros((6, 8), dtype=np.int64), ["belt"])
    files = write_panoptic(tmp_path, "truth", [nothing]), write_panoptic(tmp_path, "results", [nothing])
    whole = score_panoptic_files(*files)
    assert (whole.all.pq, whole.per_class["belt"].tp) == (1.0, 1)
    for path in files:
        Image.new("RGB", (8, 6)).save(path.with_suffix("") / "0.png")
        edit(path, lambda data: data["annotations"][0].update(segments_info=[]))
    undefined = PanopticScore(None, None, None)
    assert score_panoptic_files(*files).all == undefined
    for path in files:
        edit(path, lambda data: data.update(annotations=[], images=[]))
    assert set(score_panoptic_files(*files).per_class.values()) == {undefined}


def test_folders_can_be_named(files: Files, tmp_path: Path) -> None:
    truth, results = files
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "results").rename(elsewhere)
    assert score_panoptic_files(truth, results, results_masks=elsewhere).all.pq is not None
    with pytest.raises(FormatError, match=r"folder of panoptic PNGs .*results does not exist"):
        score_panoptic_files(truth, results)


def test_an_area_that_is_wrong_in_the_file_changes_nothing(files: Files) -> None:
    right = score_panoptic_files(*files)

    def widen(data: Any) -> None:
        for entry in data["annotations"]:
            for segment in entry["segments_info"]:
                segment["area"] = 7_000

    edit(files[0], widen)
    assert score_panoptic_files(*files) == right


# ---- files that are not what they say: one line that names the file and the entry ----


def first(data: Any) -> Any:
    return data["annotations"][0]


def first_segment(data: Any) -> Any:
    return first(data)["segments_info"][0]


@pytest.mark.parametrize(
    ("side", "change", "message"),
    [
        (0, lambda d: d.update(categories=None), r'truth\.json is not .* a list under "categories"'),
        (0, lambda d: d["categories"][0].pop("isthing"), "categories 0: expected id, name and isthing"),
        (0, lambda d: d["categories"][0].update(id="1"), "categories 0: expected a whole number as id"),
        (0, lambda d: d["categories"][0].update(name=["a"]), "categories 0: .* and a name"),
        (0, lambda d: d["categories"][0].update(name="bolt"), "two categories have one name"),
        (0, lambda d: d["categories"][0].update(id=2), "two categories have one id"),
        (1, lambda d: d["annotations"].pop(0), r"results\.json lacks the image_id of 0.png, which"),
        (0, lambda d: d["annotations"].pop(1), r"truth\.json lacks the image_id of 1.png, which"),
        (0, lambda d: d["annotations"].append(first(d)), r"truth\.json: the image_id of 0.png is there 2"),
        (1, lambda d: d["annotations"].__setitem__(0, None), "annotations 0: expected image_id, file_name"),
        (1, lambda d: first(d).update(image_id=[0]), "annotations 0: expected image_id, file_name"),
        (1, lambda d: first(d).update(segments_info=["a"]), "annotations 0: expected image_id, file_name"),
        (1, lambda d: first(d).update(segments_info=[]), "image 0: predicted segment .* in the PNG but not"),
        (1, lambda d: first(d).update(file_name="no.png"), r"results/no\.png cannot be read: No such file"),
        (1, lambda d: first(d).update(file_name="../a.png"), "the file_name .* leads out of the folder"),
        (
            0,
            lambda d: first_segment(d).update(id=None),
            "annotations 0: expected a whole number as id of each",
        ),
        (0, lambda d: first_segment(d).update(id=251), "annotations 0: .* of each segment, each another"),
        (
            0,
            lambda d: first_segment(d).update(category_id="1"),
            "segment 250: category_id '1' is not in the truth",
        ),
        (
            1,
            lambda d: first_segment(d).update(category_id=77),
            "segment 250: category_id 77 is not in the truth",
        ),
    ],
)
def test_json_that_is_wrong_is_named(
    files: Files, side: int, change: Callable[[Any], object], message: str
) -> None:
    edit(files[side], change)
    with pytest.raises(FormatError, match=message):
        score_panoptic_files(*files)


def test_a_file_that_is_no_object(files: Files) -> None:
    files[1].write_text("[]")
    with pytest.raises(FormatError, match="not COCO panoptic"):
        score_panoptic_files(*files)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda image: image.crop((0, 0, 80, 50)),
            "image 3: ground truth is 60×80 but the prediction is 50×80",
        ),
        (
            lambda image: image.convert("L"),
            "is Grayscale; the COCO panoptic format encodes segment ids as RGB",
        ),
    ],
)
def test_pngs_that_are_wrong_are_named(
    files: Files, change: Callable[[Image.Image], Image.Image], message: str
) -> None:
    path = files[1].with_suffix("") / "3.png"
    change(Image.open(path)).save(path)
    with pytest.raises(FormatError, match=message):
        score_panoptic_files(*files)
    for data, reason in (
        (b"nothing", "is not an image"),
        (flat_png(65_000, 65_000, 2, n_rows=1), "is too large"),
    ):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=rf"3\.png {reason}"):
            score_panoptic_files(*files)


def test_a_png_with_broken_bytes_is_scored_or_one_line(files: Files) -> None:
    path = files[1].with_suffix("") / "3.png"
    whole, random = path.read_bytes(), Random(0)
    lines: list[str] = []
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(random.randint(1, 4)):
            data[random.randrange(len(data))] = random.randrange(256)
        path.write_bytes(data[: random.choice((len(data), random.randrange(len(data))))])
        try:
            score_panoptic_files(*files)
        except FormatError as error:
            lines.append(str(error))
    assert lines
    assert not any("\n" in line for line in lines)
