"""What predict writes is read by score and by pycocotools, with the same figures."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.cli.conftest import Run
from tests.pipeline.conftest import write_image


def stats(truth: Path, results: Path, iou_type: str) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO(str(truth))
        found = COCOeval(dataset, dataset.loadRes(str(results)), iou_type)
        found.evaluate()
        found.accumulate()
        found.summarize()
    return [float(value) for value in found.stats]


def test_predictions_are_scored_as_they_are_and_as_coco(
    run: Run, models: tuple[str, ...], tmp_path: Path
) -> None:
    for number, name in enumerate(("a", "b")):
        write_image(tmp_path / "in" / f"{name}.png", seed=number, width=80, height=60)
    command = ["predict", "in", "--out", "out", "--box-threshold", 0, *models, "--no-pictures"]
    predicted = run(*command, "--json").json
    truth: dict[str, Any] = {  # a person drew what the model found on the first image, at other ids
        "images": [
            {"id": n, "width": 80, "height": 60, "file_name": f"{name}.png"}
            for n, name in ((41, "b"), (42, "a"))
        ],
        "categories": [{"id": 7, "name": "nut"}, {"id": 9, "name": "bolt"}],
        "annotations": [],
    }
    ids = {"nut": 7, "bolt": 9}
    things = [one for one in predicted["images"][0]["instances"] if one["kind"] == "thing" and one["box"]]
    for number, thing in enumerate(things[::2], 1):
        x0, y0, x1, y1 = thing["box"]
        shape = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
        truth["annotations"].append(
            {"id": number, "image_id": 42, "category_id": ids[thing["label"]], **shape}
        )
    (tmp_path / "t.json").write_text(json.dumps(truth))
    as_coco = run(*command, "--format", "coco", "--truth", "t.json")
    assert as_coco.code == 0
    assert (tmp_path / "out" / "coco_results.json").name in as_coco.err
    expected = stats(tmp_path / "t.json", tmp_path / "out" / "coco_results.json", "bbox")
    for results in ("out/predictions.json", "out/coco_results.json"):
        scored = run("score", "--truth", "t.json", "--results", results, "--json")
        assert scored.code == 0
        assert [scored.json[name] for name in ("ap", "ap50", "ap75")] == pytest.approx(expected[:3], abs=1e-9)
        assert scored.json["ap"] > 0


def test_coco_needs_the_file_whose_ids_it_has(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("[]")
    for argv, words in (
        (["--format", "coco"], "--format coco and --truth go together"),
        (["--truth", "t.json"], "--format coco and --truth go together"),
        (["--format", "coco", "--truth", "t.json"], "t.json is not a COCO dataset"),
    ):
        answer = run("predict", "in", "--out", "out", *argv)
        assert answer.code in (1, 2)
        assert words in answer.err
        assert answer.err.count("\n") == 1
