"""Open Images folders that others made, of any version: CSV files, masks as PNGs of any size.

An image without boxes that has labels of the whole image is one that nobody drew boxes on: it is left out.
Groups of objects are left out too. ``validation`` is the split val.
"""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from detseg.errors import FormatError
from detseg.formats import ImageLabels
from detseg.formats.csv_index import CsvIndex, Row, index_csv, read_column
from detseg.formats.dataset import Opened, cut_box
from detseg.formats.folders import find_below, place_of, read_text, size_of, stated_size
from detseg.formats.layers import read_numbers
from detseg.formats.picture_index import PictureIndex, index_pictures
from detseg.geometry.masks import bitmap_to_mask
from detseg.taxonomy import classes_of
from detseg.types import Box, Instance, Mask, Size

ANNOTATIONS, IMAGES, MASKS = "annotations", "images", "masks"
CLASSES, SIZES = "class-descriptions.csv", "images.meta"
LISTS_ENDING = "-images-with-rotation.csv"
BOXES_ENDING = "-annotations-bbox.csv"
MASKS_ENDING = "-annotations-object-segmentation.csv"
SIDES = ("XMin", "XMax", "YMin", "YMax")
IMAGE_COLUMNS = [
    "ImageID",
    "Subset",
    "OriginalURL",
    "OriginalLandingURL",
    "License",
    "AuthorProfileURL",
    "Author",
    "Title",
    "OriginalSize",
    "OriginalMD5",
    "Thumbnail300KURL",
    "Rotation",
]
BOX_COLUMNS = (
    "ImageID",
    "Source",
    "LabelName",
    "Confidence",
    *SIDES,
    *("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"),
)
MASK_COLUMNS = (
    "MaskPath",
    "ImageID",
    "LabelName",
    "BoxID",
    *(f"Box{side}" for side in SIDES),
    "PredictedIoU",
    "Clicks",
)

_KEY = "ImageID"
_LABELS_ENDINGS = ("-annotations-human-imagelabels.csv", "-annotations-human-imagelabels-boxable.csv")
_LISTS = (LISTS_ENDING, "-images-with-labels-with-rotation.csv")
_NEEDED = {BOXES_ENDING: ("LabelName",), MASKS_ENDING: ("LabelName", "MaskPath")}
_CLASSES = ("class-descriptions-boxable.csv", CLASSES)
_FOLDERS = {"val": "validation"}
_SPLITS = {folder: split for split, folder in _FOLDERS.items()}
_VERSION = re.compile(r"^oidv\d+-")
"""Before the split in the names of files; splits may have dashes themselves."""

_NEAR = 2e-6
"""Sides of boxes are written with six digits beside masks."""


def folder_of_split(split: str) -> str:
    """The name of a split, as Open Images calls it.

    >>> folder_of_split(""), folder_of_split("val")
    ('train', 'validation')
    """
    return _FOLDERS.get(split, split or "train")


def read_open_images(path: Path) -> Opened:
    """Open a folder with CSV files in it, or in its ``annotations``.

    Raises FormatError for what is none, and while images are read for a row that is wrong, and why.
    """
    below = path / ANNOTATIONS if (path / ANNOTATIONS).is_dir() else path
    found = {one for ending in (BOXES_ENDING, MASKS_ENDING, *_LISTS) for one in _prefixes(below, ending)}
    splits: defaultdict[str, list[str]] = defaultdict(list)  # of which one may have files of several versions
    for prefix in sorted(found):
        splits[_VERSION.sub("", prefix)].append(prefix)
    if not splits:
        raise FormatError(f"{path} is no Open Images folder: expected {ANNOTATIONS}/*{BOXES_ENDING}")
    names = _read_classes(below)
    reader = _Reader(path, below, splits, names, _read_sizes(below / SIZES), Counter())
    return Opened(classes_of(dict.fromkeys(names.values(), "thing")), reader.images, reader.left_out)


@dataclass(frozen=True, slots=True)
class _Reader:
    """``splits`` have beginnings of the CSV files' names; ``names`` are those of classes."""

    folder: Path
    below: Path
    splits: Mapping[str, Sequence[str]]
    names: Mapping[str, str]
    sizes: Mapping[str, Size]
    left_out: Counter[str]

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        below = self.folder / IMAGES if (self.folder / IMAGES).is_dir() else self.folder
        pictures = index_pictures(below, without=MASKS)
        for split in self.splits:
            with self._index(split, BOXES_ENDING) as boxes, self._index(split, MASKS_ENDING) as masks:
                yield from self._images_of(split, boxes, masks, pictures)

    def _images_of(
        self, split: str, boxes: CsvIndex, masks: CsvIndex, pictures: PictureIndex
    ) -> Iterator[ImageLabels]:
        listed, unboxed = (
            dict.fromkeys(
                image
                for image in read_column(self._files(split, *endings), _KEY)
                if image not in boxes.keys and image not in masks.keys
            )
            for endings in (_LISTS, _LABELS_ENDINGS)
        )
        self.left_out["images without boxes"] += len(listed.keys() & unboxed.keys())
        masked = (image for image in masks.keys if image not in boxes.keys)
        for image in chain(boxes.keys, masked, (image for image in listed if image not in unboxed)):
            picture = pictures.find(image, (folder_of_split(split), split))
            of_masks = masks.rows(image)
            size = self._size(image, picture, of_masks, split)
            found = self._instances(boxes.rows(image), of_masks, size, split)
            name = picture.name if picture is not None else f"{image}.jpg"
            uri = str(picture.absolute()) if picture is not None else ""
            yield ImageLabels(name, size, tuple(found), _SPLITS.get(split, split), uri)

    def _index(self, split: str, ending: str) -> AbstractContextManager[CsvIndex]:
        return index_csv(self._files(split, ending), _KEY, _NEEDED[ending])

    def _files(self, split: str, *endings: str) -> list[Path]:
        """The CSV files of a split that are there, of those with these endings."""
        paths = (self.below / f"{prefix}{ending}" for ending in endings for prefix in self.splits[split])
        return [path for path in paths if path.exists()]

    def _size(self, image: str, picture: Path | None, masks: Sequence[Row], split: str) -> Size:
        if size := self.sizes.get(image):
            return size
        if picture is not None:
            return size_of(picture)
        for row in masks:
            bitmap = read_numbers(self._mask_path(row, split), None)
            if bitmap is not None:
                return Size(bitmap.shape[1], bitmap.shape[0])
        raise FormatError(f"{self.below}, {image}: its size is unknown, as its image is not in {IMAGES}")

    def _instances(
        self, boxes: Sequence[Row], masks: Sequence[Row], size: Size, split: str
    ) -> Iterator[Instance]:
        """Yield a thing for each box, with the mask that names it, then one for each mask without a box."""
        free = list(masks)
        for row in boxes:
            label, shares = self._label(row), _shares(row, "")
            mine = next((one for one in free if self._belongs(one, row["LabelName"], shares)), None)
            mask = None
            if mine is not None:
                free.remove(mine)
                mask = self._read_mask(mine, size, split)
            if row.get("IsGroupOf") == "1":
                self.left_out["groups of objects"] += 1
                continue
            x0, x1, y0, y1 = shares
            sides = Box(x0 * size.width, y0 * size.height, x1 * size.width, y1 * size.height)
            box = cut_box(sides, size, self.left_out)
            if box is None and mask is None:
                self.left_out["regions without area"] += 1
            else:
                yield Instance(label, "thing", box, mask)
        for row in free:
            if (mask := self._read_mask(row, size, split)) is not None:
                yield Instance(self._label(row), "thing", mask=mask)

    def _belongs(self, mask: Row, label: str, shares: Sequence[float]) -> bool:
        if mask["LabelName"] != label or not mask.get("BoxXMin"):
            return False
        return all(abs(one - other) < _NEAR for one, other in zip(_shares(mask, "Box"), shares, strict=True))

    def _label(self, row: Row) -> str:
        name = row["LabelName"]
        if name not in self.names:
            raise FormatError(
                f"{self.below}, {row['ImageID']}: {name!r:.60} is none of the class descriptions"
            )
        return self.names[name]

    def _mask_path(self, row: Row, split: str) -> Path:
        for folder in (
            *(self.folder / MASKS / one for one in (folder_of_split(split), split, "")),
            self.folder,
        ):
            if found := find_below(folder, row["MaskPath"]):
                return Path(found)
        raise FormatError(f"{self.folder}: the mask {row['MaskPath']} is not in {MASKS}/{split}")

    def _read_mask(self, row: Row, size: Size, split: str) -> Mask | None:
        """A mask in the size of its image; None for one without pixels, which is counted."""
        numbers = read_numbers(self._mask_path(row, split), None)
        assert numbers is not None
        if numbers.shape != (size.height, size.width):
            picture = Image.fromarray((numbers > 0).astype(np.uint8))
            numbers = np.asarray(picture.resize((size.width, size.height), Image.Resampling.NEAREST))
        if not numbers.any():
            self.left_out["masks without area"] += 1
            return None
        return bitmap_to_mask(numbers > 0)


def _prefixes(folder: Path, ending: str) -> list[str]:
    return [path.name.removesuffix(ending) for path in folder.glob(f"*{ending}")]


def _shares(row: Row, prefix: str) -> tuple[float, float, float, float]:
    """XMin, XMax, YMin and YMax of a row."""
    texts = [row.get(f"{prefix}{side}", "") for side in SIDES]
    try:
        x0, x1, y0, y1 = map(place_of, texts)
    except ValueError as error:
        raise FormatError(f"{row['ImageID']}: expected a box as shares of the image, not {texts}") from error
    if not (x0 <= x1 and y0 <= y1):
        raise FormatError(f"{row['ImageID']}: a box has XMin <= XMax and YMin <= YMax, not {texts}")
    return x0, x1, y0, y1


def _read_classes(below: Path) -> Mapping[str, str]:
    """The names that people see, by those that files have. The header that some versions have is none."""
    found = [below / name for name in _CLASSES] + sorted(below.glob("oidv*-class-descriptions.csv"))
    path = next((one for one in found if one.exists()), None)
    if path is None:
        raise FormatError(f"{below} has no {CLASSES}, which names the classes")
    try:
        rows = [row for row in csv.reader(io.StringIO(read_text(path), newline="")) if row]
    except csv.Error as error:
        raise FormatError(f"{path} is not CSV: {error}") from error
    if any(len(row) < 2 for row in rows):
        raise FormatError(f"{path}: expected two columns, a class and its name")
    return {row[0]: row[1] for row in rows if row[:2] != ["LabelName", "DisplayName"]}


def _read_sizes(path: Path) -> Mapping[str, Size]:
    sizes = {}
    for number, line in enumerate(read_text(path).splitlines() if path.exists() else (), 1):
        try:
            fields = shlex.split(line, comments=True)
            if fields:
                image, height, width, *_ = fields
                sizes[image] = stated_size(int(width), int(height))
        except ValueError as error:
            raise FormatError(
                f"{path}, line {number}: expected an image, its height and its width ({error!s:.80})"
            ) from error
    return sizes
