"""Reads COCO detection files and refuses what the evaluation would silently score wrong.

Formats: https://cocodataset.org/#format-data (truth: one object with images, annotations, categories) and
https://cocodataset.org/#format-results (results: one list of detections). Ids are whole numbers from 0, or
text, which ``coco_ids`` turns into numbers; boxes ``[x, y, width, height]`` in pixels, masks polygons or run
lengths.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detseg.errors import FormatError
from detseg.metrics.coco_entries import (
    IouType,
    Problem,
    Record,
    box_problem,
    category_problem,
    entry_check,
    image_problem,
    is_id,
    name_kind,
    score_problem,
    truth_problem,
)
from detseg.metrics.coco_ids import Numbers, count_texts, number_ids


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
        found = name_kind(results)
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
        elif problem := check(entry) or score_problem(entry):
            raise FormatError(f"{results_path}, detection {position}: {problem}")
        else:
            kept.append(_without_junk(entry))
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
        raise FormatError(f"{path} is not a COCO dataset: expected one object, not {name_kind(data)}")
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
    _check_all(images, image_problem, where=f"{path}, images")
    _check_all(categories, category_problem, where=f"{path}, categories")
    _check_unique([entry["id"] for entry in images], f"{path}, images: the id")
    _check_unique([entry["id"] for entry in categories], f"{path}, categories: the id")
    _check_unique([entry["name"] for entry in categories], f"{path}, categories: the name")
    check = entry_check(images, categories, iou_type)
    _check_all(annotations, check, where=f"{path}, annotations")
    complete = [_complete(entry, i) for i, entry in enumerate(annotations)]
    _check_all(complete, truth_problem, where=f"{path}, annotations")
    return _Truth(images, categories, complete, image_numbers, category_numbers, n_texts)


def _is_elsewhere(entry: Any, known: Collection[int]) -> bool:
    """Whether a result lies on an image that the truth lacks."""
    image = entry.get("image_id") if isinstance(entry, dict) else None
    return (is_id(image) or isinstance(image, str)) and image not in known


def _without_junk(entry: Record) -> Record:
    """A detection whose box, where masks are compared, has to be right if it is there."""
    if "bbox" in entry and box_problem(entry["bbox"]):
        return {key: value for key, value in entry.items() if key != "bbox"}
    return entry


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
    if "area" not in entry and box_problem(entry.get("bbox")) is None:
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
