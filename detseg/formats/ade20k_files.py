"""ADE20K folders that others made: of 2021 with JSON, or of 2016 with ``_atr.txt``.

Parts of objects are left out. ``training`` is the split train, ``validation`` is val.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detseg.errors import FormatError, ImageError
from detseg.files import parse_json
from detseg.formats import ImageLabels
from detseg.formats.dataset import Opened
from detseg.formats.folders import SUFFIXES, find_below, place_of, size_of
from detseg.formats.layers import read_numbers
from detseg.geometry.label_maps import segments_to_masks
from detseg.geometry.masks import bitmap_to_mask
from detseg.geometry.polygons import polygon_to_mask
from detseg.images import open_png, read_bytes
from detseg.taxonomy import classes_of
from detseg.types import Instance, Mask, Size

SEGMENTS_ENDING = "_seg.png"

_TABLE_ENDING = "_atr.txt"
_COLUMNS = 6
_NUMBER = re.compile(r"[0-9]{1,9}")
_FOLDERS = {"train": "training", "val": "validation"}
_SPLITS = {folder: split for split, folder in _FOLDERS.items()}

Found = tuple[Size, Sequence[Instance]]


def folder_of_split(split: str) -> str:
    """The folder of a split, as ADE20K calls it.

    >>> folder_of_split(""), folder_of_split("val"), folder_of_split("test")
    ('training', 'validation', 'test')
    """
    return _FOLDERS.get(split or "train", split)


def read_ade20k(path: Path) -> Opened:
    """Open a folder in which images have a JSON file or an ``_atr.txt`` beside them, at any depth.

    Raises FormatError for what is none, and while images are read for a file that is wrong, and why.
    """
    files = sorted(path.rglob(f"*{_TABLE_ENDING}")) or sorted(path.rglob("*.json"))
    if not files:
        raise FormatError(f"{path} is no ADE20K folder: expected training/*.json, or *{_TABLE_ENDING}")
    reader = _Reader(path, files, Counter())
    names = sorted({entry.name for file in files for entry in _objects(file) if not entry.is_part})
    return Opened(classes_of(dict.fromkeys(names, "thing")), reader.images, reader.left_out)


@dataclass(frozen=True, slots=True)
class _Object:
    """An entry of a file. ``facts`` are what the entry says of its mask, ``number`` is the one in PNGs."""

    name: str
    is_part: bool
    number: int
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Reader:
    folder: Path
    files: Sequence[Path]
    left_out: Counter[str]

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        for file in self.files:
            stem = file.name.removesuffix(_TABLE_ENDING).removesuffix(".json")
            picture = next(
                (one for suffix in sorted(SUFFIXES) if (one := file.with_name(stem + suffix)).is_file()), None
            )
            objects = list(_objects(file))
            entries = [entry for entry in objects if not entry.is_part]
            self.left_out["parts of objects"] += len(objects) - len(entries)
            size = _size(file, stem, picture)
            of_table = file.name.endswith(_TABLE_ENDING)
            found = tuple(
                self._by_table(file, stem, entries, size) if of_table else self._by_masks(file, entries, size)
            )
            name = picture.name if picture is not None else f"{stem}.jpg"
            uri = str(picture.absolute()) if picture is not None else ""
            yield ImageLabels(name, size, found, self._split(file), uri)

    def _split(self, file: Path) -> str:
        """The first folder that is called as a split, else the first."""
        parts = file.relative_to(self.folder).parts[:-1]
        found = next((part for part in parts if part in _SPLITS), parts[0] if parts else "")
        return _SPLITS.get(found, found)

    def _by_masks(self, file: Path, entries: Sequence[_Object], size: Size) -> Iterator[Instance]:
        """Yield the objects of a JSON file, by their masks' files; by their polygons where there are none."""
        for entry in entries:
            named = entry.facts.get("instance_mask")
            path = find_below(file.parent, named) if isinstance(named, str) and named else ""
            mask = _read_mask(Path(path), size) if path else _draw(entry, size, file)
            if mask is None or not mask.area:
                self.left_out["regions without area"] += 1
            else:
                yield Instance(entry.name, "thing", mask=mask)

    def _by_table(self, file: Path, stem: str, entries: Sequence[_Object], size: Size) -> Iterator[Instance]:
        """Yield the objects of a table: blue's values, in their order, are the numbers of objects from 0."""
        path = file.with_name(stem + SEGMENTS_ENDING)
        blue = _read_colours(path)[..., 2]
        if blue.shape != (size.height, size.width):
            raise FormatError(f"{path} is {blue.shape[1]}x{blue.shape[0]}, its image is {size}")
        _, numbers = np.unique(blue, return_inverse=True)
        masks = segments_to_masks(numbers.reshape(blue.shape), [entry.number for entry in entries])
        for entry, mask in zip(entries, masks, strict=True):
            if not mask.area:
                self.left_out["regions without area"] += 1
            else:
                yield Instance(entry.name, "thing", mask=mask)


def _objects(file: Path) -> Iterator[_Object]:
    return _rows(file) if file.name.endswith(_TABLE_ENDING) else _entries(file)


def _entries(file: Path) -> Iterator[_Object]:
    """Yield the objects of a JSON file, which is in UTF-8 or, as ADE20K's own, in Latin-1."""
    data = parse_json(_read_text(file), str(file))
    annotation = data.get("annotation") if isinstance(data, dict) else None
    entries = annotation.get("object") if isinstance(annotation, dict) else None
    if isinstance(entries, dict):
        entries = [entries]  # a single one, as MATLAB writes it
    if not isinstance(entries, list):
        raise FormatError(f"{file} is not ADE20K's: expected annotation with a list under object")
    for number, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise FormatError(f"{file}, object {number}: expected an object with a name")
        parts = entry.get("parts")
        level = parts.get("part_level") if isinstance(parts, dict) else 0
        yield _Object(name.strip(), bool(level), number, entry)


def _rows(file: Path) -> Iterator[_Object]:
    """Yield the objects of a table: number # level of part # occluded # class # name # "attributes"."""
    for place, line in enumerate(_read_text(file).splitlines(), 1):
        columns = [column.strip() for column in line.split("#")]
        if line.strip():
            if len(columns) != _COLUMNS or not _NUMBER.fullmatch(columns[0]) or not columns[1].isdecimal():
                raise FormatError(
                    f"{file}, line {place}: expected six columns between #, not {line.strip()!r:.60}"
                )
            yield _Object(columns[3], columns[1] != "0", int(columns[0]), {})


def _read_text(path: Path) -> str:
    try:
        data = read_bytes(str(path))
    except ImageError as error:
        raise FormatError(f"{path} {error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _size(file: Path, stem: str, picture: Path | None) -> Size:
    if picture is not None:
        return size_of(picture)
    segments = file.with_name(stem + SEGMENTS_ENDING)
    if not segments.exists():
        raise FormatError(f"{file}: its size is unknown, as neither its image nor {segments.name} is there")
    return size_of(segments)


def _read_mask(path: Path, size: Size) -> Mask:
    numbers = read_numbers(path, size)
    assert numbers is not None
    return bitmap_to_mask(numbers > 0)


def _draw(entry: _Object, size: Size, file: Path) -> Mask | None:
    """The mask of an object's polygon; None for one of fewer than three corners."""
    polygon: Any = entry.facts.get("polygon")
    try:
        corners = [(place_of(x), place_of(y)) for x, y in zip(polygon["x"], polygon["y"], strict=True)]
    except (TypeError, KeyError, ValueError) as error:
        raise FormatError(f"{file}, object {entry.number}: expected a mask's file or a polygon") from error
    return polygon_to_mask(corners, size) if len(corners) > 2 else None


def _read_colours(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The pixels of a PNG in red, green and blue, shape (H, W, 3)."""
    try:
        with open_png(read_bytes(str(path))) as image:
            if image.mode != "RGB":
                raise FormatError(f"{path} is {image.mode}: expected RGB, whose blue numbers objects")
            return np.asarray(image)
    except ImageError as error:
        raise FormatError(f"{path} {error}") from error
