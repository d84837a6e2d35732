"""Entries of COCO files: ids as whole numbers, and what is wrong, as far as it would be scored wrong.

Ids are whole numbers, or text where a tool wrote them so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from detseg.errors import FormatError
from detseg.geometry.masks import is_mask_string, string_to_counts

IouType = Literal["bbox", "segm"]

Problem = str | None
"""A sentence for people; None if there is none."""
Record = Mapping[str, Any]

_NUMBERS = frozenset((int, float))
_LARGEST = sys.float_info.max
_MOST_PIXELS = 2**31  # along a side; no format of images has more
_MOST_AREA = 2**32  # of a mask: run lengths have 32 bits


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
        if (mask := entry.get("segmentation")) is None:
            return "it has no segmentation: compare boxes (--iou-type bbox)"
        return mask_problem(mask, sizes[entry["image_id"]])

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


def is_elsewhere(entry: Any, known: Collection[int]) -> bool:
    """Tell whether an entry lies on an image that is not among those known."""
    image = entry.get("image_id") if isinstance(entry, dict) else None
    return (is_id(image) or isinstance(image, str)) and image not in known


def box_problem(box: Any) -> Problem:
    if _is_box(box):
        return None
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return f"expected bbox [x, y, width, height] in finite numbers, not {_short(box)}"
    if box[2] < 0 or box[3] < 0:
        return f"a bbox has no negative width or height: {box}"
    return f"a bbox has finite corners, not {_short(box)}"


def _is_box(box: Any) -> bool:
    """Tell whether a value is a box with finite corners."""
    if not (isinstance(box, list) and len(box) == 4 and _NUMBERS.issuperset(map(type, box))):
        return False
    x, y, width, height = box
    return bool(
        min(width, height) >= 0
        and min(x, y) >= -_LARGEST
        and x + width <= _LARGEST
        and y + height <= _LARGEST
    )


def score_problem(entry: Mapping[str, Any]) -> Problem:
    score = entry.get("score")
    return None if _is_number(score) else f"expected a finite number as score, not {_short(score)}"


def truth_problem(entry: Mapping[str, Any]) -> Problem:
    area: Any = entry.get("area")
    crowd = entry["iscrowd"]
    if not isinstance(crowd, (bool, int)) or crowd not in (0, 1):
        return f"expected 0 or 1 as iscrowd, not {_short(crowd)}"
    if _is_number(area) and area >= 0:
        return None
    return f"expected a finite number from 0 as area, not {_short(area)}"


def mask_problem(mask: Any, size: tuple[int | None, int | None]) -> Problem:
    """The problem of a segmentation on an image of that height and width, as far as they are known."""
    if _is_compressed(mask, size):
        return None
    if isinstance(mask, list):
        return _polygons_problem(mask) or _drawn_problem(size)
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
    is_decoded = isinstance(counts, tuple) and min(counts, default=0) >= 0
    if not is_decoded and (not isinstance(counts, list) or not all(is_id(count) for count in counts)):
        return f"expected run lengths as whole numbers or as a compressed string, not {_short(counts)}"
    n_pixels = sum(counts or ())
    if n_pixels != mask["size"][0] * mask["size"][1] and n_pixels < _MOST_AREA:
        return f"the run lengths sum to {n_pixels}, which are not the pixels of a mask of {mask['size']}"
    return _area_problem(n_pixels)


def _drawn_problem(size: tuple[int | None, int | None]) -> Problem:
    """The problem of polygons on an image of that height and width."""
    height, width = size
    return (
        _area_problem(height * width) if height and width else "polygons need width and height of their image"
    )


def _area_problem(n_pixels: int) -> Problem:
    return f"a mask has fewer than 2**32 pixels, not {n_pixels}" if n_pixels >= _MOST_AREA else None


def _is_compressed(mask: Any, size: tuple[int | None, int | None]) -> bool:
    """Tell whether a segmentation is what most are: compressed run lengths of an image of that size."""
    height, width = size
    if height is None or width is None or not isinstance(mask, dict) or mask.get("size") != [height, width]:
        return False
    counts = mask.get("counts")
    return isinstance(counts, str) and is_mask_string(counts, height * width)


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
    """Tell whether a JSON value is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBERS and abs(value) <= _LARGEST


def name_kind(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return _short(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True, slots=True)
class Numbers:
    """The number of every id of a file's images, or of its categories.

    A text of digits is the number it spells, since some tools write ids as text in one file and as numbers in
    the other. Any other text is a name: names get the numbers after the largest, in their order.
    """

    of_names: Mapping[str, int]

    def number(self, id_: Any) -> Any:
        """The number; whatever is no id of these stays what it is."""
        if not isinstance(id_, str):
            return id_
        return int(id_) if spells_number(id_) else self.of_names.get(id_, id_)

    def renumber(self, entries: Iterable[Any], key: str) -> list[Any]:
        """The entries with numbers under that key; what has none there stays as it is."""
        return [
            {**entry, key: self.number(entry[key])}
            if isinstance(entry, dict) and isinstance(entry.get(key), str)
            else entry
            for entry in entries
        ]


def number_ids(ids: Sequence[Any]) -> Numbers:
    """The numbers of those ids.

    >>> numbers = number_ids([3, "7", "b.jpg", "a.jpg"])
    >>> [numbers.number(id_) for id_ in (3, "3", 7, "7", "a.jpg", "b.jpg", "c.jpg")]
    [3, 3, 7, 7, 8, 9, 'c.jpg']
    """
    texts = {id_ for id_ in ids if isinstance(id_, str)}
    numbers = [id_ for id_ in ids if isinstance(id_, int)] + [
        int(text) for text in texts if spells_number(text)
    ]
    first = max(numbers, default=-1) + 1
    names = sorted(text for text in texts if not spells_number(text))
    return Numbers({name: first + n for n, name in enumerate(names)})


def whole_numbers(entries: Iterable[Any], *keys: str) -> list[Any]:
    """The entries with ``1`` for ``1.0`` under those keys, which pandas and others write.

    >>> whole_numbers([{"id": 1.0, "score": 1.0}, {"id": 1.5}, 7], "id")
    [{'id': 1, 'score': 1.0}, {'id': 1.5}, 7]
    """
    return [_whole(entry, keys) for entry in entries]


def _whole(entry: Any, keys: Sequence[str]) -> Any:
    if not isinstance(entry, dict):
        return entry
    for key in keys:
        if isinstance(entry.get(key), float):
            entry = {**entry, key: whole_number(entry[key])}
    return entry


def whole_number(value: Any) -> Any:
    """The value, ``1`` for ``1.0``."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, slots=True)
class FileNames:
    """Images by what tools write in place of their ids: file name, path, or name without its ending."""

    ids: Mapping[str, int | None]
    """None for what two images are called"""

    def find(self, path: str) -> int | None:
        """The one image that a path ends with, or whose name without ending it is; None if there is none."""
        pure = PurePosixPath(path)
        ends = ("/".join(pure.parts[start:]) for start in range(len(pure.parts)))
        return next(
            (found for name in (path, *ends, pure.stem) if (found := self.ids.get(name)) is not None), None
        )


def file_names(images: Iterable[Mapping[str, Any]]) -> FileNames:
    """The names of a file's images, whose ids are numbers.

    >>> names = file_names([{"id": 1, "file_name": "x/a.jpg"}, {"id": 2, "file_name": "y/a.jpg"}, {"id": 3}])
    >>> [names.find(path) for path in ("/data/x/a.jpg", "y/a.jpg", "a.jpg", "a", "b.jpg")]
    [1, 2, None, None, None]
    >>> file_names([{"id": 7, "file_name": "a.jpg"}]).find("a")
    7
    """
    ids: dict[str, int | None] = {}
    for image in images:
        name = image.get("file_name")
        if isinstance(name, str):
            pure = PurePosixPath(name)
            for key in {name, str(pure.with_suffix("")) if pure.name else name, pure.name, pure.stem}:
                ids[key] = image["id"] if ids.get(key, image["id"]) == image["id"] else None
    return FileNames(ids)


def count_texts(entries: Iterable[Any], *keys: str) -> int:
    """Count the entries that have a text under one of the keys."""
    return sum(isinstance(e, dict) and any(isinstance(e.get(key), str) for key in keys) for e in entries)


def spells_number(text: str) -> bool:
    """Tell whether a text is the digits of a number from 0."""
    return text.isascii() and text.isdecimal() and len(text) < 19  # fits into 63 bits
