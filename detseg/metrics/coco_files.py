"""Reads COCO detection files and refuses what the evaluation would silently score wrong.

Formats: https://cocodataset.org/#format-data (truth: one object with images, annotations, categories) and
https://cocodataset.org/#format-results (results: one list of detections). Ids are whole numbers from 0, or
text, which ``coco_ids`` turns into numbers; boxes ``[x, y, width, height]`` in pixels, masks polygons or run
lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detseg.errors import FormatError
from detseg.files import read_json
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
    without_lines,
)
from detseg.metrics.coco_ids import FileNames, Numbers, count_texts, file_names, number_ids, whole_numbers
from detseg.metrics.predictions_file import is_predictions, predictions_to_results
from detseg.plurals import format_count


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
    results, own_notes = _read_results(results_path, truth, iou_type)
    n_texts = truth.n_texts + count_texts(results, "image_id", "category_id")
    results = truth.image_numbers.renumber(whole_numbers(results, "image_id", "category_id"), "image_id")
    results = truth.category_numbers.renumber(results, "category_id")
    known = {image["id"] for image in truth.images}
    results, n_named = _find_names(results, file_names(truth.images), known)
    results, n_lines = without_lines(results)
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
    notes = (
        *own_notes,
        *_reading_notes(truth, n_texts=n_texts, n_named=n_named, n_lines=truth.n_lines + n_lines),
        *_notes(truth, kept, elsewhere),
    )
    return CocoFiles(truth.dataset(), kept, notes)


def _read_results(path: Path, truth: _Truth, iou_type: IouType) -> tuple[list[Any], tuple[str, ...]]:
    """The detections of COCO results, or of ``detseg predict``, and what there is to say of them."""
    results = read_json(path)
    if isinstance(results, list):
        return results, ()
    if is_predictions(results):
        return predictions_to_results(results, path, truth.dataset(), iou_type)
    if isinstance(results, dict) and isinstance(results.get("annotations"), list):
        scored = all(isinstance(entry, dict) and "score" in entry for entry in results["annotations"])
        mend = "give that list alone" if scored else "which have a score each, as labels of people have not"
        raise FormatError(
            f"{path} is a COCO dataset, not results: expected the detections that are under "
            f'"annotations", {mend}'
        )
    raise FormatError(
        f"{path} is not COCO results: expected one list of detections, or what `detseg predict` writes, not "
        f"{name_kind(results)}"
    )


def _find_names(results: list[Any], names: FileNames, known: Collection[int]) -> tuple[list[Any], int]:
    """The results with ids for file names that stand in their place, and how many those are.

    An id that the truth has is never taken for a name. A number is one only where no number is an id.
    """
    ids = [entry.get("image_id") if isinstance(entry, dict) else None for entry in results]
    numbers_are_ids = any(is_id(id_) and id_ in known for id_ in ids)
    numbers = {int(name): id_ for name, id_ in names.ids.items() if name.isascii() and name.isdecimal()}
    found: dict[Any, int | None] = {}
    for id_ in {id_ for id_ in ids if isinstance(id_, int | str)} - set(known):
        if isinstance(id_, str):
            found[id_] = names.find(id_)
        elif not numbers_are_ids:
            found[id_] = numbers.get(id_)
    replaced = [
        {**entry, "image_id": found[id_]}
        if isinstance(id_, int | str) and found.get(id_) is not None
        else entry
        for entry, id_ in zip(results, ids, strict=True)
    ]
    return replaced, sum(new is not old for new, old in zip(replaced, results, strict=True))


def predictions_to_coco(predictions: Path, truth_path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """What ``detseg predict`` wrote, as COCO results with the ids of a truth file, and lines for people.

    pycocotools' ``loadRes`` reads them. Raises FormatError where one of the files is something else.
    """
    read_coco_truth(truth_path, "bbox")  # says what is wrong with it
    return predictions_to_results(read_json(predictions), predictions, read_json(truth_path), "bbox")


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
    n_unlisted: int
    n_lines: int

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
    images = whole_numbers(images, "id", "width", "height")
    categories = whole_numbers(categories, "id")
    annotations = whole_numbers(annotations, "image_id", "category_id", "iscrowd")
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
    annotations, n_unlisted = _on_listed(annotations, {entry["id"] for entry in images})
    annotations, n_lines = without_lines(annotations)
    check = entry_check(images, categories, iou_type)
    _check_all(annotations, check, where=f"{path}, annotations")
    complete = [_complete(entry, i) for i, entry in enumerate(annotations)]
    _check_all(complete, truth_problem, where=f"{path}, annotations")
    return _Truth(images, categories, complete, image_numbers, category_numbers, n_texts, n_unlisted, n_lines)


def _on_listed(annotations: list[Any], known: Collection[int]) -> tuple[list[Any], int]:
    """Without those on images that the file does not list, which pycocotools leaves out too; how many."""
    kept = [entry for entry in annotations if not _is_elsewhere(entry, known)]
    return kept, len(annotations) - len(kept)


def _is_elsewhere(entry: Any, known: Collection[int]) -> bool:
    """Whether a result lies on an image that the truth lacks."""
    image = entry.get("image_id") if isinstance(entry, dict) else None
    return (is_id(image) or isinstance(image, str)) and image not in known


def _without_junk(entry: Record) -> Record:
    """A detection whose box, where masks are compared, has to be right if it is there."""
    if "bbox" in entry and box_problem(entry["bbox"]):
        return {key: value for key, value in entry.items() if key != "bbox"}
    return entry


def _reading_notes(truth: _Truth, *, n_texts: int, n_named: int, n_lines: int) -> Iterator[str]:
    if n_texts:
        yield f"entries with text as ids: {n_texts}; digits are the number that they spell, others are names"
    if n_named:
        yield f"detections whose image_id is a file name: {n_named}; they are matched by it"
    if truth.n_unlisted:
        yield f"annotations of images that the truth does not list: {truth.n_unlisted}; they do not count"
    if n_lines:
        yield f"masks with pieces of fewer than three points: {n_lines}; such a piece has no area"


def _notes(truth: _Truth, kept: Sequence[Record], elsewhere: Sequence[Record]) -> Iterator[str]:
    if elsewhere:
        n_images = len({entry["image_id"] for entry in elsewhere})
        yield (
            f"detections on images that the truth lacks: {len(elsewhere)}, "
            f"on {format_count(n_images, 'image')}; they do not count"
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
