"""score: the exact JSON of each kind of files, and one clear line for whatever is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.metrics.scene_maps import KINDS, edit, pairs_of_scenes, write_panoptic

TWELVE = [
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
]


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_detections_give_cocos_numbers(run: Run, shared_data: Path, iou_type: str) -> None:
    folder = shared_data / "cocoapi"
    truth = folder / "instances_val2014_100.json"
    results = folder / f"instances_val2014_fake{iou_type}100_results.json"
    answer = run("score", "--truth", truth, "--results", results, "--iou-type", iou_type, "--json")
    assert answer.code == 0
    expected = json.loads((folder / "expected.json").read_text())["stats"][iou_type]
    assert [answer.json[name] for name in TWELVE] == pytest.approx(expected, abs=1e-6)
    assert answer.json["per_class"]["person"]["ap"] > 0


def test_what_is_unusual_about_files_is_said(run: Run, tmp_path: Path) -> None:
    box = {"image_id": "7", "category_id": 1, "bbox": [1, 1, 8, 8]}
    truth = {
        "images": [{"id": 7, "width": 20, "height": 20}, {"id": 8, "width": 20, "height": 20}],
        "categories": [{"id": 1, "name": "bolt"}],
        "annotations": [box],
    }
    (tmp_path / "t.json").write_text(json.dumps(truth))
    (tmp_path / "r.json").write_text(
        json.dumps([{**box, "score": 0.9}, {**box, "image_id": 9, "score": 0.8}])
    )
    for_people = run("score", "--truth", "t.json", "--results", "r.json")
    assert for_people.code == 0
    said = for_people.err.splitlines()
    assert [line.split(":")[0] for line in said] == [
        "entries with text as ids",
        "detections on images that the truth lacks",
        "images of the truth without a detection",
    ]
    answer = run("score", "--truth", "t.json", "--results", "r.json", "--json").json
    assert answer["notes"] == said
    assert answer["ap"] == pytest.approx(1.0)


def test_files_that_are_something_else_are_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text("[")
    for truth, results in (("a.json", "a.json"), ("b.json", "a.json"), ("gone.json", "a.json")):
        answer = run("score", "--truth", truth, "--results", results)
        assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
        assert truth in answer.err


def write_panoptic_pair(folder: Path) -> None:
    write_panoptic(folder, "truth", [true for true, _ in pairs_of_scenes()])
    write_panoptic(folder, "results", [found for _, found in pairs_of_scenes()])


def test_panoptic_files_give_flat_figures(run: Run, tmp_path: Path) -> None:
    write_panoptic_pair(tmp_path)
    (tmp_path / "truth").rename(tmp_path / "a")
    (tmp_path / "results").rename(tmp_path / "b")
    command = ["score", "--panoptic", "--truth", "truth.json", "--results", "results.json"]
    masks = ["--truth-masks", "a", "--results-masks", "b"]
    figures = run(*command, *masks, "--json").json
    parts = ("pq", "sq", "rq", "tp", "fp", "fn")
    assert list(figures) == [
        *(f"{part}{group}" for group in ("", "_things", "_stuff") for part in parts),
        "per_class",
    ]
    assert list(figures["per_class"]) == sorted(KINDS)
    assert all(tuple(one) == parts for one in figures["per_class"].values())
    things = [figures["per_class"][label]["pq"] for label, kind in KINDS.items() if kind == "thing"]
    assert figures["pq_things"] == pytest.approx(np.mean(things))
    assert figures["pq"] == pytest.approx(np.mean([figures["pq_things"], figures["pq_stuff"]]))
    assert figures["tp"] == figures["tp_things"] + figures["tp_stuff"]
    missing = run(*command)
    assert (missing.code, missing.out) == (1, "")
    assert missing.err == "detseg: the folder of panoptic PNGs truth does not exist: name the right one\n"


def test_tables_for_people(run: Run, tmp_path: Path) -> None:
    write_panoptic_pair(tmp_path)
    for name in ("truth.json", "results.json"):
        edit(tmp_path / name, rename_bolt)
    out = run("score", "--panoptic", "--truth", "truth.json", "--results", "results.json").out
    assert [line.split() for line in out.splitlines()][:2] == [["all", "classes"], ["pq", "0.5746"]]
    rows = [line.split() for line in out.splitlines()[20:]]
    assert rows[0] == ["class", "pq", "sq", "rq", "tp", "fp", "fn"]
    assert sorted(row[0] for row in rows[1:]) == ["[/red]", "belt", "nut", "tray"]


def rename_bolt(data: Any) -> None:
    data["categories"][1]["name"] = "[/red]"


def write_maps(folder: Path) -> None:
    """Two images of classes 1 and 2; a column of the truth is not to count."""
    for name in ("truth", "results"):
        (folder / name).mkdir()
    true, found = np.ones((2, 6, 8), dtype=np.uint8)
    true[:, 4:], found[:, 3:], true[:, 7] = 2, 2, 255
    for side, array in (("truth", true), ("results", found)):
        for name in ("a.png", "b.png"):
            Image.fromarray(array).save(folder / side / name)
    (folder / "names.json").write_text('{"1": "belt", "2": "bolt", "3": "nut"}')


def test_label_maps_give_semantic_figures(run: Run, tmp_path: Path) -> None:
    write_maps(tmp_path)
    command = ["score", "--semantic", "--truth", "truth", "--results", "results"]
    figures = run(*command, "--names", "names.json", "--json").json
    assert list(figures) == [
        *("pixel_accuracy", "mean_accuracy", "miou", "dice", "boundary_iou"),
        *("per_class", "n_images"),
    ]
    assert figures["pixel_accuracy"] == pytest.approx(6 / 7)
    assert figures["miou"] == pytest.approx((3 / 4 + 3 / 4) / 2)
    assert list(figures["per_class"]) == ["belt", "bolt", "nut"]
    assert figures["per_class"]["nut"]["iou"] is None
    assert figures["n_images"] == 2
    everything = run(*command, "--ignore-value", -1, "--json").json
    assert everything["pixel_accuracy"] == pytest.approx(6 / 8)
    assert list(everything["per_class"]) == ["1", "2", "255"]
    out = run(*command, "--names", "names.json").out
    assert ["nut", "n/a", "n/a", "n/a", "n/a", "0", "0", "0"] in [line.split() for line in out.splitlines()]


def test_label_maps_that_do_not_fit_are_one_line(run: Run, tmp_path: Path) -> None:
    write_maps(tmp_path)
    (tmp_path / "results" / "b.png").unlink()
    answer = run("score", "--semantic", "--truth", "truth", "--results", "results")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "detseg: results/b.png is missing: truth has it\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--panoptic", "--semantic"], "--panoptic and --semantic are two kinds of files: name one"),
        (["--truth-masks", "x"], "--truth-masks says something with --panoptic only"),
        (["--semantic", "--results-masks", "x"], "--results-masks says something with --panoptic only"),
        (["--panoptic", "--names", "x"], "--names says something with --semantic only"),
        (["--ignore-value", "0"], "--ignore-value says something with --semantic only"),
    ],
)
def test_flags_that_mean_nothing_are_wrong_usage(run: Run, flags: list[str], message: str) -> None:
    answer = run("score", "--truth", "a", "--results", "b", *flags)
    assert (answer.code, answer.out, answer.err) == (2, "", f"detseg: {message}\n")
