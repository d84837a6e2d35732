"""What ``detseg predict`` writes, as COCO results on the images and categories of a truth file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from detseg.errors import FormatError
from detseg.geometry.masks import decode_mask, mask_to_box
from detseg.metrics.coco_entries import IouType
from detseg.metrics.coco_ids import file_names


def is_predictions(data: Any) -> bool:
    """Whether that is the content of a ``predictions.json``."""
    return isinstance(data, dict) and isinstance(data.get("images"), list) and "failed" in data


def predictions_to_results(
    data: Mapping[str, Any], path: Path, truth: Mapping[str, Any], iou_type: IouType
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The things of a ``predictions.json`` as COCO results, and lines for people on what was left out.

    Images are found by their file names in the truth, classes by their names. Raises FormatError for a file
    that ``detseg predict`` did not write so, and where no class of it is one of the truth.
    """
    names = file_names(truth["images"])
    sizes = {image["id"]: (image.get("width"), image.get("height")) for image in truth["images"]}
    categories = {category["name"]: category["id"] for category in truth["categories"]}
    results: list[dict[str, Any]] = []
    unknown: Counter[str] = Counter()
    n_elsewhere = n_shapeless = 0
    for position, image in enumerate(data["images"]):
        try:
            number = names.find(image["path"])
            things = [instance for instance in image["instances"] if instance["kind"] == "thing"]
            if not all(isinstance(thing["label"], str) for thing in things):
                raise TypeError("a label is text")
            unknown.update(thing["label"] for thing in things if thing["label"] not in categories)
            if number is None:
                n_elsewhere += len(things)
                continue
            _check_size(image, sizes[number])
            records = list(_records(things, number, categories, iou_type))
            n_shapeless += sum(thing["label"] in categories for thing in things) - len(records)
            results += records
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise FormatError(
                f"{path}, images {position}: not as `detseg predict` writes it ({error!r})"
            ) from error
        except FormatError as error:
            raise FormatError(f"{path}, images {position}: {error}") from error
    if unknown and not results:
        raise FormatError(
            f"{path} has no class of the truth, but {', '.join(sorted(unknown))}: name them alike"
        )
    if n_elsewhere and not results:
        raise FormatError(f"{path} has no image of the truth: they are of two sets, or other file names")
    return results, tuple(_notes(unknown, n_elsewhere, n_shapeless))


def _records(
    things: Iterable[Mapping[str, Any]], image: int, categories: Mapping[str, int], iou_type: IouType
) -> Iterator[dict[str, Any]]:
    """Those that have a class and a shape to be compared; a box of a mask is the tight one."""
    for thing in things:
        record = {"image_id": image, "category_id": categories.get(thing["label"]), "score": thing["score"]}
        mask, box = thing["mask"], thing["box"]
        if box is None and mask is not None:
            tight = mask_to_box(decode_mask(mask))
            box = None if tight is None else list(tight.xyxy)
        if box is not None:
            record["bbox"] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        if mask is not None:
            record["segmentation"] = mask
        if record["category_id"] is not None and ("bbox" if iou_type == "bbox" else "segmentation") in record:
            yield record


def _check_size(image: Mapping[str, Any], stated: tuple[Any, Any]) -> None:
    size = (image["width"], image["height"])
    if any(side is not None and side != own for side, own in zip(stated, size, strict=True)):
        raise FormatError(f"it is {size[0]}x{size[1]} (upright), and {stated[0]}x{stated[1]} in the truth")


def _notes(unknown: Mapping[str, int], n_elsewhere: int, n_shapeless: int) -> Iterator[str]:
    if unknown:
        counted = ", ".join(f"{label} {n}" for label, n in sorted(unknown.items()))
        yield f"predictions of classes that the truth lacks: {counted}; they do not count"
    if n_elsewhere:
        yield f"predictions on images that the truth lacks: {n_elsewhere}; they do not count"
    if n_shapeless:
        yield f"predictions without a mask: {n_shapeless}; they do not count"
