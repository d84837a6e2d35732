"""Panoptic quality of COCO panoptic files (https://cocodataset.org/#format-data, part 4).

hotcoco (Rust, MIT) reads the PNGs and counts; it follows panopticapi: void pixels of the truth and crowds
neither match nor count against a prediction.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotcoco.panoptic import PanopticEval

from detseg.errors import FormatError
from detseg.metrics.coco_files import read_json
from detseg.metrics.panoptic import PanopticQuality, PanopticScore, summarize_classes


def score_panoptic_files(
    truth_path: Path,
    results_path: Path,
    *,
    truth_masks: Path | None = None,
    results_masks: Path | None = None,
) -> PanopticQuality:
    """PQ, SQ and RQ of panoptic results against panoptic truth: a JSON file and a folder of PNGs each.

    A folder that is not given is the JSON file's path without ``.json``. Every image of the truth needs a
    result. Raises FormatError for files that are not COCO panoptic or do not belong together.
    """
    categories = _check_files(truth_path, results_path)
    folders = (truth_masks or truth_path.with_suffix(""), results_masks or results_path.with_suffix(""))
    for folder in folders:
        if not folder.is_dir():
            raise FormatError(f"the folder of panoptic PNGs {folder} does not exist: name the right one")
    try:
        evaluated = PanopticEval(
            str(truth_path), str(results_path), gt_folder=str(folders[0]), pred_folder=str(folders[1])
        )
        evaluated.evaluate()
    except (ValueError, OSError) as error:
        raise FormatError(f"{truth_path} and {results_path} cannot be compared: {error}") from error
    counted = evaluated.results()["per_class"]
    return summarize_classes(
        {category["name"]: _score(counted.get(category["id"], {})) for category in categories},
        {category["name"]: "thing" if category["isthing"] else "stuff" for category in categories},
    )


def _check_files(truth_path: Path, results_path: Path) -> list[dict[str, Any]]:
    """The truth's categories, sorted by name, once both files look like COCO panoptic."""
    truth, results = read_json(truth_path), read_json(results_path)
    for path, data, keys in (
        (truth_path, truth, ("images", "annotations", "categories")),
        (results_path, results, ("annotations",)),
    ):
        for key in keys:
            if not isinstance(data, dict) or not isinstance(data.get(key), list):
                raise FormatError(
                    f'{path} is not COCO panoptic: expected an object with a list under "{key}"'
                )
    categories = truth["categories"]
    for position, category in enumerate(categories):
        if not isinstance(category, dict) or not {"id", "name", "isthing"} <= category.keys():
            raise FormatError(f"{truth_path}, categories {position}: expected id, name and isthing")
    if len({category["name"] for category in categories}) < len(categories):
        raise FormatError(f"{truth_path}: two categories have one name")
    known = {_image_id(entry) for entry in truth["annotations"]}
    foreign = [_image_id(entry) for entry in results["annotations"] if _image_id(entry) not in known]
    if foreign:
        raise FormatError(f"{results_path}: image_id {foreign[0]} is not in {truth_path}")
    return sorted(categories, key=lambda category: str(category["name"]))


def _image_id(entry: Any) -> Any:
    return entry.get("image_id") if isinstance(entry, dict) else None


def _score(counted: Mapping[str, Any]) -> PanopticScore:
    tp, fp, fn = (int(counted.get(key, 0)) for key in ("tp", "fp", "fn"))
    if tp + fp + fn == 0:
        return PanopticScore(None, None, None)
    return PanopticScore(float(counted["pq"]), float(counted["sq"]), float(counted["rq"]), tp, fp, fn)
