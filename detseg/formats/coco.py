"""COCO detection datasets (https://cocodataset.org/#format-data): images, annotations and categories.

Boxes are ``[x, y, width, height]`` in pixels, masks polygons or run lengths. Ids are whole numbers from 0, or
text, which becomes numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detseg.errors import FormatError
from detseg.files import read_json
from detseg.formats import ImageLabels
from detseg.formats.coco_entries import (
    IouType,
    Numbers,
    Problem,
    Record,
    box_problem,
    category_problem,
    count_texts,
    entry_check,
    image_problem,
    is_elsewhere,
    name_kind,
    number_ids,
    truth_problem,
    whole_numbers,
    without_lines,
)
from detseg.formats.dataset import cut_box
from detseg.geometry.boxes import box_to_xywh, xywh_to_box
from detseg.geometry.extent import extent
from detseg.geometry.masks import decode_mask, encode_mask, mask_area, unite_masks
from detseg.geometry.polygons import polygon_to_mask
from detseg.types import Box, Instance, Mask, Size


@dataclass(frozen=True, slots=True)
class CocoDataset:
    """The entries of a dataset that belong together, with numbers as ids.

    Annotations without ``iscrowd`` are not crowds, without ``area`` they have the area of their box.
    """

    images: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    image_numbers: Numbers
    category_numbers: Numbers
    n_texts: int
    """entries with text as ids"""
    n_unlisted: int
    """annotations of images that the file does not list, which are left out, as in pycocotools"""
    n_lines: int
    """annotations whose mask had pieces without area, which are left out"""

    def as_json(self) -> dict[str, Any]:
        """Return the three lists as the file has them."""
        return {"images": self.images, "categories": self.categories, "annotations": self.annotations}


@dataclass(frozen=True, slots=True)
class CocoLabels:
    """A dataset by names: ``images`` by file name, ``annotations`` by image id, ``labels`` by category id."""

    path: Path
    images: Mapping[str, Record]
    annotations: Mapping[int, Sequence[Record]]
    labels: Mapping[int, str]
    stuff: frozenset[str] = frozenset()
    """labels whose supercategory is "stuff" """

    def used_labels(self) -> set[str]:
        """Return the names of the categories that have annotations."""
        return {self.labels[entry["category_id"]] for some in self.annotations.values() for entry in some}


def read_coco(path: Path, iou_type: IouType) -> CocoDataset:
    """Read a dataset whose images, categories and annotations belong together.

    Annotations need the shape that is compared. Raises FormatError, with the entry and the reason, for a file
    that is none.
    """
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
    complete = [complete_entry(entry, i) for i, entry in enumerate(annotations)]
    _check_all(complete, truth_problem, where=f"{path}, annotations")
    return CocoDataset(
        images, categories, complete, image_numbers, category_numbers, n_texts, n_unlisted, n_lines
    )


def read_coco_labels(path: Path) -> CocoLabels:
    """Read a dataset whose annotations have boxes, some of them masks, and whose images have names.

    Raises FormatError for a file that is none, and for a name that is there twice.
    """
    return labels_by_name(read_coco(path, "bbox"), path)


def labels_by_name(data: CocoDataset, path: Path) -> CocoLabels:
    """A dataset that was read from ``path``, as ``read_coco_labels`` gives it."""
    check = entry_check(data.images, data.categories, "segm")
    annotations: defaultdict[int, list[Record]] = defaultdict(list)
    for position, entry in enumerate(data.annotations):
        if entry.get("segmentation") and (problem := check(entry)):
            raise FormatError(f"{path}, annotations {position}: {problem}")
        annotations[entry["image_id"]].append(entry)
    images: dict[str, Record] = {}
    for position, image in enumerate(data.images):
        name = image.get("file_name")
        if not isinstance(name, str) or name in images:
            raise FormatError(f"{path}, images {position}: expected a file_name of its own, not {name!r:.60}")
        images[name] = image
    labels = {category["id"]: category["name"] for category in data.categories}
    stuff = frozenset(one["name"] for one in data.categories if one.get("supercategory") == "stuff")
    return CocoLabels(path, images, annotations, labels, stuff)


def read_instances(file: CocoLabels, name: str, size: Size, *, scored: bool = False) -> Iterator[Instance]:
    """Yield what the file says about the image of that name, whose upright size is known, as things.

    With their scores, if they are wanted; an annotation without one has 1. A box is cut at the image's
    border. Left out are crowds, which are no single objects, and what has no area in the image. Raises
    FormatError for an image of another size.
    """
    image = file.images[name]
    entries = file.annotations.get(image["id"], ())
    for width, height in _stated_sizes(image, entries):
        if (width or size.width, height or size.height) != (size.width, size.height):
            raise FormatError(
                f"{file.path}, {name}: the file says {width}x{height}, the upright image is {size}"
            )
    for entry in entries:
        if entry["iscrowd"]:
            continue
        box, mask = decode_shape(entry, size, Counter())
        if box or mask:
            score = min(max(float(entry.get("score", 1.0)), 0.0), 1.0) if scored else None
            yield Instance(file.labels[entry["category_id"]], "thing", box, mask, score)


def encode_image(image: ImageLabels, image_id: int) -> dict[str, Any]:
    """The entry of an image."""
    size = {"width": image.size.width, "height": image.size.height}
    return {"id": image_id, "file_name": image.name, **size}


def encode_shape(instance: Instance) -> dict[str, Any]:
    """The box of an annotation or a detection, the tight one where there is a mask alone, and the mask."""
    box = {"bbox": list(box_to_xywh(extent(instance)))}
    return {**box, "segmentation": encode_mask(instance.mask)} if instance.mask else box


def decode_shape(entry: Record, size: Size, left_out: Counter[str]) -> tuple[Box | None, Mask | None]:
    """The box of an entry, cut at the image's border as by ``cut_box``, and its mask; None for what has no
    area there."""
    return cut_box(xywh_to_box(entry["bbox"]), size, left_out), _mask(entry.get("segmentation"), size)


def _stated_sizes(image: Record, entries: Sequence[Record]) -> Iterator[tuple[int | None, int | None]]:
    """Widths and heights that the file gives the image, itself and by run lengths of masks."""
    yield image.get("width"), image.get("height")
    for entry in entries:
        if isinstance(entry.get("segmentation"), dict):
            height, width = entry["segmentation"]["size"]
            yield width, height


def _mask(segmentation: Any, size: Size) -> Mask | None:
    """Of polygons all together, or run lengths; None for none and for an empty one."""
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        rings = [list(zip(ring[::2], ring[1::2], strict=True)) for ring in segmentation]
        mask = unite_masks([polygon_to_mask(ring, size) for ring in rings])
    else:
        mask = decode_mask(segmentation)
    return mask if mask_area(mask) else None


def _list_under(data: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    entries = data.get(key)
    if not isinstance(entries, list):
        raise FormatError(f'{path} is not a COCO dataset: expected a list under "{key}"')
    return entries


def _on_listed(annotations: list[Any], known: Collection[int]) -> tuple[list[Any], int]:
    """Those on images that the file lists, and how many others there are."""
    kept = [entry for entry in annotations if not is_elsewhere(entry, known)]
    return kept, len(annotations) - len(kept)


def complete_entry(entry: dict[str, Any], position: int) -> dict[str, Any]:
    """An annotation with what it may leave out: whether it is a crowd, and its area."""
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
