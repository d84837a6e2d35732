"""COCO panoptic files: JSON, and a PNG of segment ids for each image.

The format is the fourth of https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from detseg.errors import FormatError, ImageError
from detseg.files import read_json
from detseg.formats.coco_entries import is_id, number_ids, whole_numbers
from detseg.images import open_png, read_bytes


@dataclass(frozen=True, slots=True)
class PanopticFiles:
    """A truth and results that belong together: ids of images are numbers, each image is in both.

    ``folders`` hold the PNGs of the truth and of the results. Segments have no ``area``: an evaluation would
    believe it, and a wrong one gives an IoU above 1. Without it, the pixels of the PNG are counted.
    """

    truth: dict[str, Any]
    results: dict[str, Any]
    folders: tuple[Path, Path]


def read_coco_panoptic(
    truth_path: Path,
    results_path: Path,
    *,
    truth_masks: Path | None = None,
    results_masks: Path | None = None,
) -> PanopticFiles:
    """Read panoptic truth and results: a JSON file and a folder of PNGs each.

    A folder that is not given is the JSON file's path without ``.json``. Every image of the truth needs a
    result. Raises FormatError for files that are not COCO panoptic or do not belong together.
    """
    truth, results = _with_numbers(_read(truth_path, ("images", "categories")), _read(results_path, ()))
    _check_categories(truth["categories"], truth_path)
    known = {category["id"] for category in truth["categories"]}
    for data, path in ((truth, truth_path), (results, results_path)):
        _check_annotations(data["annotations"], known, path)
    _check_images(truth, results, truth_path, results_path)
    folders = (truth_masks or truth_path.with_suffix(""), results_masks or results_path.with_suffix(""))
    for folder in folders:
        if not folder.is_dir():
            raise FormatError(f"the folder of panoptic PNGs {folder} does not exist: name the right one")
    for data, folder in zip((truth, results), folders, strict=True):
        for entry in data["annotations"]:
            _check_png(folder / entry["file_name"])
    return PanopticFiles(truth, results, folders)


def read_panoptic_truth(path: Path) -> dict[str, Any]:
    """Read the JSON file of a truth, whose ids become numbers. Raises FormatError for what is none."""
    truth, _ = _with_numbers(_read(path, ("images", "categories")), {"annotations": []})
    _check_categories(truth["categories"], path)
    _check_annotations(truth["annotations"], {category["id"] for category in truth["categories"]}, path)
    return truth


def _read(path: Path, other_keys: tuple[str, ...]) -> dict[str, Any]:
    """A panoptic JSON file, with what an evaluation needs of each segment."""
    data = read_json(path)
    for key in ("annotations", *other_keys):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise FormatError(f'{path} is not COCO panoptic: expected an object with a list under "{key}"')
    annotations = []
    for position, entry in enumerate(whole_numbers(data["annotations"], "image_id")):
        if not _is_entry(entry):
            raise FormatError(
                f"{path}, annotations {position}: expected image_id, file_name and a list of segments_info"
            )
        segments = [
            {key: segment[key] for key in ("id", "category_id", "iscrowd") if key in segment}
            for segment in whole_numbers(entry["segments_info"], "id", "category_id", "iscrowd")
        ]
        annotations.append({**entry, "segments_info": segments})
    return {key: data[key] for key in other_keys} | {"annotations": annotations}


def _with_numbers(truth: dict[str, Any], results: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both with numbers for the ids of images, which cityscapesScripts and others write as text."""
    ids = [entry["image_id"] for data in (truth, results) for entry in data["annotations"]]
    numbers = number_ids([*ids, *(image.get("id") for image in truth["images"] if isinstance(image, dict))])
    truth, results = (
        {**data, "annotations": numbers.renumber(data["annotations"], "image_id")}
        for data in (truth, results)
    )
    images = numbers.renumber(whole_numbers(truth["images"], "id"), "id")
    return {
        **truth,
        "images": images,
        "categories": whole_numbers(truth["categories"], "id", "isthing"),
    }, results


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not {"image_id", "file_name", "segments_info"} <= entry.keys():
        return False
    segments = entry["segments_info"]
    return (
        (is_id(entry["image_id"]) or isinstance(entry["image_id"], str))
        and isinstance(entry["file_name"], str)
        and isinstance(segments, list)
        and all(isinstance(segment, dict) for segment in segments)
    )


def _check_categories(categories: list[Any], path: Path) -> None:
    for position, category in enumerate(categories):
        if not isinstance(category, dict) or not {"id", "name", "isthing"} <= category.keys():
            raise FormatError(f"{path}, categories {position}: expected id, name and isthing")
        if not is_id(category["id"]) or not isinstance(category["name"], str):
            raise FormatError(f"{path}, categories {position}: expected a whole number as id and a name")
    for key in ("id", "name"):
        if len({category[key] for category in categories}) < len(categories):
            raise FormatError(f"{path}: two categories have one {key}")


def _check_annotations(annotations: list[Any], known: Collection[int], path: Path) -> None:
    for position, entry in enumerate(annotations):
        where = f"{path}, annotations {position}"
        name = PurePath(entry["file_name"])
        if name.is_absolute() or ".." in name.parts:
            raise FormatError(f"{where}: the file_name {name} leads out of the folder of PNGs")
        ids = [segment.get("id") for segment in entry["segments_info"]]
        if not all(is_id(number) for number in ids) or len(set(ids)) < len(ids):
            raise FormatError(f"{where}: expected a whole number as id of each segment, each another")
        for segment in entry["segments_info"]:
            category = segment.get("category_id")
            if not is_id(category) or category not in known:
                raise FormatError(
                    f"{where}, segment {segment['id']}: category_id {category!r} is not in the truth file"
                )


def _check_images(
    truth: Mapping[str, Any], results: Mapping[str, Any], truth_path: Path, results_path: Path
) -> None:
    asked, answered = (
        {e["image_id"]: e["file_name"] for e in data["annotations"]} for data in (truth, results)
    )
    for data, path in ((truth, truth_path), (results, results_path)):
        counts = Counter(entry["image_id"] for entry in data["annotations"])
        for number, n in counts.most_common(1):
            if n > 1:
                name = next(e["file_name"] for e in data["annotations"] if e["image_id"] == number)
                raise FormatError(f"{path}: the image_id of {name} is there {n} times")
    for these, those, where in ((asked, answered, results_path), (answered, asked, truth_path)):
        missing = sorted(these.keys() - those.keys())
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise FormatError(
                f"{where} lacks the image_id of {these[missing[0]]}{more}, which the other file has"
            )


def _check_png(path: Path) -> None:
    """Check a PNG: what reads it takes its header's word for the memory that it makes ready."""
    try:
        with open_png(read_bytes(str(path))):
            pass
    except ImageError as error:
        raise FormatError(f"{path} {error}") from error
