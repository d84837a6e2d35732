"""Pascal VOC folders that others made: XML files with boxes, and masks where there are PNGs.

Corners may be fractions, or swapped, as tools write them. A thing's mask is where ``SegmentationObject`` has
its place in the XML. Other pixels of a class that ``labelmap.txt`` names are stuff.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from detseg.errors import FormatError
from detseg.formats import ImageLabels
from detseg.formats.dataset import Opened, cut_box
from detseg.formats.folders import SUFFIXES, named_size, read_text, size_of
from detseg.formats.layers import read_numbers
from detseg.geometry.masks import bitmap_to_mask
from detseg.taxonomy import LabelClass, distinct_colour
from detseg.types import Box, Instance, Kind, Mask, Size

VOID = 255
_CLASS_LISTS = ("_train", "_val", "_trainval", "_test")

Bytes = npt.NDArray[Any]


def read_voc(path: Path) -> Opened:
    """Open a folder with ``Annotations``, or one with a single such folder below, as ``VOCdevkit/VOC2012``.

    Raises FormatError for what is none, and while images are read for a file that is wrong, and why.
    """
    folder = _find_folder(path)
    files = sorted((folder / "Annotations").glob("*.xml"))
    numbers = _read_labelmap(folder / "labelmap.txt")
    names = [*numbers.values(), *sorted(_names_in(files) - set(numbers.values()))]
    reader = _Reader(folder, files, numbers, _read_splits(folder / "ImageSets" / "Main"), Counter())
    stuff = reader.stuff()
    classes = (
        LabelClass(name, "stuff" if name in stuff else "thing", distinct_colour(n))
        for n, name in enumerate(names)
    )
    return Opened(tuple(classes), reader.images, reader.left_out)


@dataclass(frozen=True, slots=True)
class _Reader:
    folder: Path
    files: Sequence[Path]
    numbers: Mapping[int, str]
    splits: Mapping[str, str]
    left_out: Counter[str]

    def stuff(self) -> set[str]:
        """The classes that only pixels outside of things have."""
        kinds: dict[str, Kind] = {}
        if self.numbers and (self.folder / "SegmentationClass").is_dir():
            for image in self.images():
                kinds |= {one.label: one.kind for one in image.instances if kinds.get(one.label) != "thing"}
        return {label for label, kind in kinds.items() if kind == "stuff"}

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        for path in self.files:
            root = _parse(path)
            picture = self._picture(root, path)
            size = _read_size(root, picture, path)
            instances = tuple(self._instances(root, size, path))
            uri = str(picture.absolute()) if picture is not None else ""
            name = picture.name if picture is not None else root.findtext("filename") or f"{path.stem}.jpg"
            yield ImageLabels(name, size, instances, self.splits.get(path.stem, ""), uri)

    def _instances(self, root: ElementTree.Element, size: Size, path: Path) -> Iterator[Instance]:
        classes, objects = (
            read_numbers(self.folder / name / f"{path.stem}.png", size)
            for name in ("SegmentationClass", "SegmentationObject")
        )
        entries = root.findall("object")
        for number, entry in enumerate(entries, 1):
            where = f"{path}, object {number}"
            label = (entry.findtext("name") or "").strip()
            if not label:
                raise FormatError(f"{where}: it has no name")
            box = cut_box(_read_box(entry, where), size, self.left_out)
            mask = _mask(objects == number) if objects is not None else None
            if box is None and mask is None:
                self.left_out["regions without area"] += 1
            else:
                yield Instance(label, "thing", box, mask)
        if classes is not None:
            free = np.ones(classes.shape, dtype=bool) if objects is None else objects == 0
            for value in sorted(set(np.unique(classes[free]).tolist()) - {0, VOID}):
                if value not in self.numbers:
                    raise FormatError(f"{path.stem}.png has class {value}, which labelmap.txt does not name")
                mask = _mask(free & (classes == value))
                yield Instance(self.numbers[value], "stuff", mask=mask)

    def _picture(self, root: ElementTree.Element, path: Path) -> Path | None:
        """The file of the image: as the XML calls it, or with any ending that images have."""
        folder = self.folder / "JPEGImages"
        named = folder / Path(root.findtext("filename") or "").name
        tried = [named, *(folder / f"{path.stem}{suffix}" for suffix in sorted(SUFFIXES))]
        return next((one for one in tried if one.is_file()), None)


def _find_folder(path: Path) -> Path:
    here = (path / "Annotations").is_dir()
    below = (one for depth in ("*", "*/*") for one in sorted(path.glob(f"{depth}/Annotations")))
    found = [path] if here else [one.parent for one in below]
    if len(found) != 1:
        what = "has several, name one" if found else "expected one with Annotations/*.xml"
        raise FormatError(f"{path} is no VOC folder: {what}")
    return found[0]


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(read_text(path))
    except ElementTree.ParseError as error:
        raise FormatError(f"{path} is not XML: {error}") from error


def _names_in(files: Sequence[Path]) -> set[str]:
    """The names of all things."""
    entries = (entry.findtext("name") for path in files for entry in _parse(path).iter("object"))
    return {name.strip() for name in entries if name and name.strip()}


def _read_size(root: ElementTree.Element, picture: Path | None, path: Path) -> Size:
    """The size in the XML; that of the image's file where the XML has none."""
    try:
        sides = [int(float(root.findtext(f"size/{side}") or "0")) for side in ("width", "height")]
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{path}: expected width and height as numbers ({error})") from error
    if min(sides) > 0:
        return named_size(sides[0], sides[1], str(path))
    if picture is None:
        raise FormatError(f"{path}: it has no size, and its image is not in JPEGImages")
    return size_of(picture)


def _read_box(entry: ElementTree.Element, where: str) -> Box:
    """The box of whole pixels from 1, both within, as edges; corners in any order."""
    texts = [entry.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x0, y0, x1, y1 = (float(text or "") for text in texts)
        return Box(min(x0, x1) - 1, min(y0, y1) - 1, max(x0, x1), max(y0, y1))
    except ValueError as error:
        raise FormatError(f"{where}: expected xmin, ymin, xmax and ymax as numbers, not {texts}") from error


def _mask(bitmap: npt.NDArray[np.bool_]) -> Mask | None:
    return bitmap_to_mask(bitmap) if bitmap.any() else None


def _read_labelmap(path: Path) -> dict[int, str]:
    """The names of the classes by their numbers: the lines of a ``labelmap.txt``, background first."""
    if not path.exists():
        return {}
    lines = [line for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    names = [line.split(":")[0] for line in lines]
    return {number: name for number, name in enumerate(names) if number}


def _read_splits(folder: Path) -> dict[str, str]:
    """The split of each stem; neither ``trainval`` is one nor the lists of a class, as ``bolt_train.txt``."""
    splits: dict[str, str] = {}
    for path in sorted(folder.glob("*.txt")) if folder.is_dir() else ():
        if path.stem != "trainval" and not path.stem.endswith(_CLASS_LISTS):
            for line in read_text(path).splitlines():
                if line.strip():
                    splits.setdefault(line.strip(), path.stem)
    return splits
