"""What is wrong with an entry of a COCO detection file, as far as the evaluation would score it wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

from detseg.errors import FormatError
from detseg.geometry.masks import string_to_counts

IouType = Literal["bbox", "segm"]

Problem = str | None
"""A sentence for people; None if there is none."""
Record = Mapping[str, Any]

_LARGEST = sys.float_info.max
_MOST_PIXELS = 2**31  # along a side; no format of images has more


def entry_check(
    images: Sequence[Mapping[str, Any]], categories: Sequence[Mapping[str, Any]], iou_type: IouType
) -> Callable[[Any], Problem]:
    """Says what is wrong with an annotation or a detection on those images; None if nothing is."""
    sizes = {image["id"]: (image.get("height"), image.get("width")) for image in images}
    category_ids = {category["id"] for category in categories}

    def check(entry: Any) -> Problem:
        if not isinstance(entry, dict):
            return f"expected an object, not {name_kind(entry)}"
        if problem := _reference_problem(entry, "image_id", sizes):
            return problem
        if problem := _reference_problem(entry, "category_id", category_ids):
            return problem
        if iou_type == "bbox":
            return box_problem(entry.get("bbox"))
        return _mask_problem(entry.get("segmentation"), sizes[entry["image_id"]])

    return check


def image_problem(entry: Any) -> Problem:
    if not isinstance(entry, dict) or not is_id(entry.get("id")):
        return "expected an object with a whole number or text as id"
    sides = [entry[key] for key in ("width", "height") if entry.get(key) is not None]
    are_sides = all(is_id(side) and side < _MOST_PIXELS for side in sides)
    return None if are_sides else f"width and height are pixels, not {_short(sides)}"


def category_problem(entry: Any) -> Problem:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not is_id(entry.get("id")) or not isinstance(name, str) or not name:
        return "expected an object with a whole number or text as id, and a name"
    return None


def _reference_problem(entry: Mapping[str, Any], key: str, known: Collection[int]) -> Problem:
    value = entry.get(key)
    if not is_id(value) and not isinstance(value, str):
        return f"expected a whole number or text as {key}, not {_short(value)}"
    if value not in known:
        return f"{key} {_short(value)} is not in the truth file"
    return None


def box_problem(box: Any) -> Problem:
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        return f"expected bbox [x, y, width, height] in finite numbers, not {_short(box)}"
    return None if box[2] >= 0 and box[3] >= 0 else f"a bbox has no negative width or height: {box}"


def score_problem(entry: Mapping[str, Any]) -> Problem:
    score = entry.get("score")
    return None if _is_number(score) else f"expected a finite number as score, not {_short(score)}"


def truth_problem(entry: Mapping[str, Any]) -> Problem:
    area: Any = entry.get("area")
    crowd = entry["iscrowd"]
    if not isinstance(crowd, (bool, int)) or crowd not in (0, 1):
        return f"expected 0 or 1 as iscrowd, not {_short(crowd)}"
    return (
        None
        if _is_number(area) and area >= 0
        else f"expected a finite number from 0 as area, not {_short(area)}"
    )


def _mask_problem(mask: Any, size: tuple[int | None, int | None]) -> Problem:
    if isinstance(mask, list):
        lacks_size = "polygons need width and height of their image" if None in size else None
        return _polygons_problem(mask) or lacks_size
    if not isinstance(mask, dict) or not _is_size(mask.get("size")):
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


def _is_size(size: Any) -> bool:
    return isinstance(size, list) and len(size) == 2 and all(is_id(side) for side in size)


def _polygons_problem(polygons: list[Any]) -> Problem:
    for polygon in polygons:
        is_flat = isinstance(polygon, list) and all(_is_number(value) for value in polygon)
        if not is_flat or len(polygon) < 6 or len(polygon) % 2:
            return f"expected a polygon [x, y, ...] of three or more points, not {_short(polygon)}"
    return None if polygons else "the segmentation has no polygon"


def without_lines(entries: Sequence[Any]) -> tuple[list[Any], int]:
    """The entries without those pieces of masks that have one or two points, and how many had such.

    They have no area, in pycocotools' rasterisation too. A mask of nothing else stays, and is refused later.
    """
    done = [_without_lines(entry) for entry in entries]
    return done, sum(new is not old for new, old in zip(done, entries, strict=True))


def _without_lines(entry: Any) -> Any:
    pieces = entry.get("segmentation") if isinstance(entry, dict) else None
    if not isinstance(pieces, list) or not all(isinstance(piece, list) for piece in pieces):
        return entry
    kept = [piece for piece in pieces if len(piece) not in (0, 2, 4)]
    return {**entry, "segmentation": kept} if kept and len(kept) < len(pieces) else entry


def is_id(value: Any) -> bool:
    """Whether a JSON value is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


def name_kind(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return _short(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
