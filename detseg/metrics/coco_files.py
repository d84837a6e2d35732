"""Reads COCO detection files and refuses what the evaluation would silently score wrong.

Formats: https://cocodataset.org/#format-data (truth: one object with images, annotations, categories) and
https://cocodataset.org/#format-results (results: one list of detections). Ids are whole numbers from 0, or
text, which ``coco_ids`` turns into numbers; boxes ``[x, y, width, height]`` in pixels, masks polygons or run
lengths.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from detseg.errors import FormatError
from detseg.geometry.masks import string_to_counts
from detseg.metrics.coco_ids import Numbers, count_texts, number_ids

IouType = Literal["bbox", "segm"]

Problem = str | None
Record = Mapping[str, Any]


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises FormatError if it cannot be read or is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise FormatError(f"{path} is not JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class CocoFiles:
    """A truth and results that belong together: ids are numbers, every result lies on an image of the truth.

    ``notes`` are lines for people on what was done about anything unusual.
    """

    truth: Mapping[str, Any]
    results: Sequence[Record]
    notes: tuple[str, ...]


def read_coco_files(truth_path: Path, results_path: Path, iou_type: IouType) -> CocoFiles:
    """A COCO detection dataset and detection results on its images and categories.

    Results on images that the truth lacks do not count; images without results do. Raises FormatError for a
    file that is not what it should be, with the entry and the reason, and for results all on other images.
    """
    truth = _read_truth(truth_path, iou_type)
    results = read_json(results_path)
    if not isinstance(results, list):
        found = _name(results)
        raise FormatError(f"{results_path} is not COCO results: expected one list of detections, not {found}")
    n_texts = truth.n_texts + count_texts(results, "image_id", "category_id")
    results = truth.image_numbers.renumber(results, "image_id")
    results = truth.category_numbers.renumber(results, "category_id")
    known = {image["id"] for image in truth.images}
    check = entry_check(truth.images, truth.categories, iou_type)
    kept: list[Record] = []
    elsewhere: list[Record] = []
    for position, entry in enumerate(results):
        if _is_elsewhere(entry, known):
            elsewhere.append(entry)
        elif problem := check(entry) or _score_problem(entry):
            raise FormatError(f"{results_path}, detection {position}: {problem}")
        else:
            kept.append(entry)
    if elsewhere and not kept:
        raise FormatError(
            f"{results_path} has no detection on any image of {truth_path}: they are of two sets"
        )
    return CocoFiles(truth.dataset(), kept, tuple(_notes(truth, kept, elsewhere, n_texts=n_texts)))


def read_coco_truth(path: Path, iou_type: IouType) -> dict[str, Any]:
    """A COCO detection dataset whose images, categories and annotations belong together, ids as numbers.

    Annotations without ``iscrowd`` are not crowds, without ``area`` they have the area of their box.
    """
    return _read_truth(path, iou_type).dataset()


@dataclass(frozen=True, slots=True)
class _Truth:
    images: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    image_numbers: Numbers
    category_numbers: Numbers
    n_texts: int

    def dataset(self) -> dict[str, Any]:
        return {"images": self.images, "categories": self.categories, "annotations": self.annotations}


def _read_truth(path: Path, iou_type: IouType) -> _Truth:
    data = read_json(path)
    if not isinstance(data, dict):
        raise FormatError(f"{path} is not a COCO dataset: expected one object, not {_name(data)}")
    images, annotations, categories = (
        _list_under(data, key, path) for key in ("images", "annotations", "categories")
    )
    n_texts = sum(
        count_texts(part, "id", "image_id", "category_id") for part in (images, annotations, categories)
    )
    image_numbers, category_numbers = (
        number_ids([entry.get("id") for entry in part if isinstance(entry, dict)])
        for part in (images, categories)
    )
    images, categories = image_numbers.renumber(images, "id"), category_numbers.renumber(categories, "id")
    annotations = category_numbers.renumber(image_numbers.renumber(annotations, "image_id"), "category_id")
    _check_all(images, _image_problem, where=f"{path}, images")
    _check_all(categories, _category_problem, where=f"{path}, categories")
    _check_unique([entry["id"] for entry in images], f"{path}, images: the id")
    _check_unique([entry["id"] for entry in categories], f"{path}, categories: the id")
    _check_unique([entry["name"] for entry in categories], f"{path}, categories: the name")
    check = entry_check(images, categories, iou_type)
    _check_all(annotations, check, where=f"{path}, annotations")
    complete = [_complete(entry, i) for i, entry in enumerate(annotations)]
    _check_all(complete, _area_problem, where=f"{path}, annotations")
    return _Truth(images, categories, complete, image_numbers, category_numbers, n_texts)


def entry_check(
    images: Sequence[Mapping[str, Any]], categories: Sequence[Mapping[str, Any]], iou_type: IouType
) -> Callable[[Any], Problem]:
    """Says what is wrong with an annotation or a detection on those images; None if nothing is."""
    sizes = {image["id"]: (image.get("height"), image.get("width")) for image in images}
    category_ids = {category["id"] for category in categories}

    def check(entry: Any) -> Problem:
        if not isinstance(entry, dict):
            return f"expected an object, not {_name(entry)}"
        if problem := _reference_problem(entry, "image_id", sizes):
            return problem
        if problem := _reference_problem(entry, "category_id", category_ids):
            return problem
        if iou_type == "bbox":
            return _box_problem(entry.get("bbox"))
        return _mask_problem(entry.get("segmentation"), sizes[entry["image_id"]])

    return check


def _is_elsewhere(entry: Any, known: Collection[int]) -> bool:
    """Whether a result lies on an image that the truth lacks."""
    image = entry.get("image_id") if isinstance(entry, dict) else None
    return (is_id(image) or isinstance(image, str)) and image not in known


def _notes(
    truth: _Truth, kept: Sequence[Record], elsewhere: Sequence[Record], *, n_texts: int
) -> Iterator[str]:
    if n_texts:
        yield f"entries with text as ids: {n_texts}; digits are the number that they spell, others are names"
    if elsewhere:
        n_images = len({entry["image_id"] for entry in elsewhere})
        yield (
            f"detections on images that the truth lacks: {len(elsewhere)}, on {n_images} images; "
            "they do not count"
        )
    seen = {entry["image_id"] for entry in kept}
    if n_empty := sum(image["id"] not in seen for image in truth.images):
        yield (
            f"images of the truth without a detection: {n_empty} of {len(truth.images)}; "
            "their objects count as missed"
        )
    if n_crowds := sum(bool(entry["iscrowd"]) for entry in truth.annotations):
        yield f"crowds in the truth: {n_crowds}; they are neither found nor missed"


def _list_under(data: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    entries = data.get(key)
    if not isinstance(entries, list):
        raise FormatError(f'{path} is not a COCO dataset: expected a list under "{key}"')
    return entries


def _complete(entry: dict[str, Any], position: int) -> dict[str, Any]:
    # Ids count from 1: some evaluators take the id 0 for "not matched". Nothing else refers to them.
    done = {**entry, "id": position + 1, "iscrowd": entry.get("iscrowd", 0)}
    if "area" not in entry and _box_problem(entry.get("bbox")) is None:
        done["area"] = entry["bbox"][2] * entry["bbox"][3]
    return done


def _check_all(entries: Sequence[Any], check: Callable[[Any], Problem], *, where: str) -> None:
    for position, entry in enumerate(entries):
        if problem := check(entry):
            raise FormatError(f"{where} {position}: {problem}")


def _check_unique(values: Sequence[Any], where: str) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise FormatError(f"{where} {value!r} is there twice")
        seen.add(value)


def _image_problem(entry: Any) -> Problem:
    if not isinstance(entry, dict) or not is_id(entry.get("id")):
        return "expected an object with a whole number or text as id"
    sides = [entry[key] for key in ("width", "height") if key in entry]
    return None if all(is_id(side) for side in sides) else f"width and height are pixels, not {sides}"


def _category_problem(entry: Any) -> Problem:
    if not isinstance(entry, dict) or not is_id(entry.get("id")) or not isinstance(entry.get("name"), str):
        return "expected an object with a whole number or text as id, and a name"
    return None


def _reference_problem(entry: Mapping[str, Any], key: str, known: Collection[int]) -> Problem:
    value = entry.get(key)
    if not is_id(value) and not isinstance(value, str):
        return f"expected a whole number or text as {key}, not {_short(value)}"
    if value not in known:
        return f"{key} {_short(value)} is not in the truth file"
    return None


def _box_problem(box: Any) -> Problem:
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        return f"expected bbox [x, y, width, height] in finite numbers, not {_short(box)}"
    return None if box[2] >= 0 and box[3] >= 0 else f"a bbox has no negative width or height: {box}"


def _score_problem(entry: Mapping[str, Any]) -> Problem:
    score = entry.get("score")
    return None if _is_number(score) else f"expected a finite number as score, not {_short(score)}"


def _area_problem(entry: Mapping[str, Any]) -> Problem:
    area = entry.get("area")
    return None if _is_number(area) else f"expected a finite number as area, not {_short(area)}"


def _mask_problem(mask: Any, size: tuple[int | None, int | None]) -> Problem:
    if isinstance(mask, list):
        return _polygons_problem(mask)
    if not isinstance(mask, dict) or not isinstance(mask.get("size"), list) or len(mask["size"]) != 2:
        return f"expected segmentation as polygons or run lengths, not {_short(mask)}"
    if None not in size and tuple(mask["size"]) != size:
        return f"the mask is {mask['size']}, its image {list(size)} (height, width)"
    counts = mask.get("counts")
    if isinstance(counts, str):
        try:
            counts = string_to_counts(counts)
        except FormatError as error:
            return str(error)
    if not isinstance(counts, (list, tuple)) or not all(is_id(count) for count in counts):
        return f"expected run lengths as whole numbers or as a compressed string, not {_short(counts)}"
    if sum(counts) != mask["size"][0] * mask["size"][1]:
        return f"the run lengths sum to {sum(counts)}, which are not the pixels of a mask of {mask['size']}"
    return None


def _polygons_problem(polygons: list[Any]) -> Problem:
    for polygon in polygons:
        is_flat = isinstance(polygon, list) and all(_is_number(value) for value in polygon)
        if not is_flat or len(polygon) < 6 or len(polygon) % 2:
            return f"expected a polygon [x, y, ...] of three or more points, not {_short(polygon)}"
    return None if polygons else "the segmentation has no polygon"


def is_id(value: Any) -> bool:
    """Whether a JSON value is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _name(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return _short(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
