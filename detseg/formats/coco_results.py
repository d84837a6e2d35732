"""COCO results (https://cocodataset.org/#format-results): one list of detections on a dataset's images.

Whatever the evaluation would silently score wrong is refused. ``detseg predict``'s own file is taken too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detseg.errors import FormatError
from detseg.files import read_json
from detseg.formats import ImageLabels
from detseg.formats.coco import CocoDataset, encode_shape, read_coco
from detseg.formats.coco_entries import (
    FileNames,
    IouType,
    Record,
    box_problem,
    count_texts,
    entry_check,
    file_names,
    is_elsewhere,
    is_id,
    name_kind,
    score_problem,
    whole_numbers,
    without_lines,
)
from detseg.formats.predictions import is_predictions, read_predictions
from detseg.geometry.extent import NOWHERE, extent
from detseg.plurals import format_count
from detseg.types import Instance


@dataclass(frozen=True, slots=True)
class CocoFiles:
    """A truth and results that belong together: ids are numbers, every result lies on an image of the truth.

    ``notes`` are lines for people on what was done about anything unusual.
    """

    truth: CocoDataset
    results: Sequence[Record]
    notes: tuple[str, ...]


def read_coco_files(truth_path: Path, results_path: Path, iou_type: IouType) -> CocoFiles:
    """Read a dataset, and detections on its images and categories.

    Results on images that the truth lacks do not count; images without results do. Raises FormatError for a
    file that is not what it should be, with the entry and the reason, and for results all on other images.
    """
    truth = read_coco(truth_path, iou_type)
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
        if is_elsewhere(entry, known):
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
    return CocoFiles(truth, kept, notes)


def predictions_to_coco(predictions: Path, truth_path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Convert what ``detseg predict`` wrote to COCO results with the ids of a truth file, and lines for
    people.

    pycocotools' ``loadRes`` reads them. Raises FormatError where one of the files is something else.
    """
    read_coco(truth_path, "bbox")  # says what is wrong with it
    images = read_predictions(read_json(predictions), predictions)
    return _to_results(images, predictions, read_json(truth_path), "bbox")


def _read_results(path: Path, truth: CocoDataset, iou_type: IouType) -> tuple[list[Any], tuple[str, ...]]:
    """The detections of COCO results, or of ``detseg predict``, and what there is to say of them."""
    results = read_json(path)
    if isinstance(results, list):
        return results, ()
    if is_predictions(results):
        return _to_results(read_predictions(results, path), path, truth.as_json(), iou_type)
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


def _to_results(
    images: Iterable[ImageLabels], path: Path, truth: Mapping[str, Any], iou_type: IouType
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The things of images as results with the ids of a truth, and lines for people on what was left out.

    Images are found by their file names in the truth, classes by their names. Raises FormatError for an image
    of another size, and where no image or no class is one of the truth.
    """
    names = file_names(truth["images"])
    sizes = {image["id"]: (image.get("width"), image.get("height")) for image in truth["images"]}
    categories = {category["name"]: category["id"] for category in truth["categories"]}
    results: list[dict[str, Any]] = []
    unknown: Counter[str] = Counter()
    n_elsewhere = n_shapeless = 0
    for position, image in enumerate(images):
        things = [instance for instance in image.instances if instance.kind == "thing"]
        known = [thing for thing in things if thing.label in categories]
        unknown.update(thing.label for thing in things if thing.label not in categories)
        number = names.find(image.name)
        if number is None:
            n_elsewhere += len(things)
            continue
        _check_size(image, sizes[number], where=f"{path}, images {position}")
        shaped = [thing for thing in known if _has_shape(thing, iou_type)]
        n_shapeless += len(known) - len(shaped)
        for thing in shaped:
            ids = {"image_id": number, "category_id": categories[thing.label]}
            results.append({**ids, "score": thing.score, **encode_shape(thing)})
    if unknown and not results:
        raise FormatError(
            f"{path} has no class of the truth, but {', '.join(sorted(unknown))}: name them alike"
        )
    if n_elsewhere and not results:
        raise FormatError(f"{path} has no image of the truth: they are of two sets, or other file names")
    return results, tuple(_leaving_notes(unknown, n_elsewhere, n_shapeless))


def _has_shape(thing: Instance, iou_type: IouType) -> bool:
    return thing.mask is not None if iou_type == "segm" else extent(thing) is not NOWHERE


def _check_size(image: ImageLabels, stated: tuple[Any, Any], *, where: str) -> None:
    size = (image.size.width, image.size.height)
    if any(side is not None and side != own for side, own in zip(stated, size, strict=True)):
        raise FormatError(f"{where}: it is {image.size} (upright), and {stated[0]}x{stated[1]} in the truth")


def _leaving_notes(unknown: Mapping[str, int], n_elsewhere: int, n_shapeless: int) -> Iterator[str]:
    if unknown:
        counted = ", ".join(f"{label} {n}" for label, n in sorted(unknown.items()))
        yield f"predictions of classes that the truth lacks: {counted}; they do not count"
    if n_elsewhere:
        yield f"predictions on images that the truth lacks: {n_elsewhere}; they do not count"
    if n_shapeless:
        yield f"predictions without a mask: {n_shapeless}; they do not count"


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


def _without_junk(entry: Record) -> Record:
    """A detection whose box, where masks are compared, has to be right if it is there."""
    if "bbox" in entry and box_problem(entry["bbox"]):
        return {key: value for key, value in entry.items() if key != "bbox"}
    return entry


def _reading_notes(truth: CocoDataset, *, n_texts: int, n_named: int, n_lines: int) -> Iterator[str]:
    if n_texts:
        yield f"entries with text as ids: {n_texts}; digits are the number that they spell, others are names"
    if n_named:
        yield f"detections whose image_id is a file name: {n_named}; they are matched by it"
    if truth.n_unlisted:
        yield f"annotations of images that the truth does not list: {truth.n_unlisted}; they do not count"
    if n_lines:
        yield f"masks with pieces of fewer than three points: {n_lines}; such a piece has no area"


def _notes(truth: CocoDataset, kept: Sequence[Record], elsewhere: Sequence[Record]) -> Iterator[str]:
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
