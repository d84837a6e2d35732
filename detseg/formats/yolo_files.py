"""YOLO folders that others made, read as Ultralytics reads them: boxes, polygons, and both in one file.

A folder has ``data.yaml``, whose paths lead to folders of images, or just ``images`` beside ``labels``, with
or without folders of splits below. Where the last ``images`` in an image's path is ``labels`` there is its
text file; an image without one is unlabeled, and left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detseg.errors import FormatError
from detseg.formats import ImageLabels
from detseg.formats.dataset import Opened, cut_box
from detseg.formats.folders import images_below, parse_yaml, read_text, size_of
from detseg.geometry.polygons import polygon_to_mask
from detseg.taxonomy import LabelClass, distinct_colour
from detseg.types import Box, Instance, Size

_SIDES = ("train", "val", "test")
_OUTSIDE = 0.01
"""Shares may leave the image by so much, as in Ultralytics: rounding."""


def read_yolo(path: Path) -> Opened:
    """Open a folder, or its ``data.yaml``.

    Without a ``data.yaml`` classes are called by their numbers. Raises FormatError for what is neither, and
    while images are read for rows that are wrong: their file and line, and why.
    """
    data = (
        path if path.is_file() else next(iter(sorted(path.glob("*.yaml")) + sorted(path.glob("*.yml"))), None)
    )
    folder = path.parent if path.is_file() else path
    content = _read_data(data) if data is not None else {}
    sides = _sides(content, folder, data)
    names = _names(content, data) if data is not None else _numbers(sides)
    classes = tuple(LabelClass(name, "thing", distinct_colour(n)) for n, name in enumerate(names))
    reader = _Reader(sides, names, Counter())
    return Opened(classes, reader.images, reader.left_out)


@dataclass(frozen=True, slots=True)
class _Reader:
    """``sides`` are folders of images with their split."""

    sides: Sequence[tuple[str, Path]]
    names: Sequence[str]
    left_out: Counter[str]

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        for side, folder in self.sides:
            for path in images_below(folder):
                labels = labels_path(path)
                if not labels.exists():
                    self.left_out["images without a file of labels"] += 1
                    continue
                size = size_of(path)
                instances = tuple(self._instances(labels, size))
                name = path.relative_to(folder).as_posix()
                yield ImageLabels(name, size, instances, side, str(path.absolute()))

    def _instances(self, path: Path, size: Size) -> Iterator[Instance]:
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            instance = _parse_row(line, self.names, size, self.left_out, where=f"{path}, line {number}")
            if instance is None:
                self.left_out["regions without area"] += 1
            else:
                yield replace(instance, score=None)  # labels, whoever wrote them


def read_rows(path: Path, names: Sequence[str], size: Size) -> tuple[Instance, ...]:
    """What a file says of an image of that size, with scores where a last column has them, else 1.

    Left out is what has no area. Raises FormatError for a row that is wrong, with its line, and why.
    """
    rows = (
        _parse_row(line, names, size, Counter(), where=f"{path}, line {number}", scored=True)
        for number, line in enumerate(read_text(path).splitlines(), 1)
        if line.strip()
    )
    return tuple(one for one in rows if one is not None)


def read_names(path: Path) -> tuple[str, ...]:
    """The names of the classes in a ``data.yaml``."""
    return _names(_read_data(path), path)


def labels_path(image: Path) -> Path:
    """Where the labels of an image are.

    >>> labels_path(Path("a/images/b/images/c.d.jpg")).as_posix()
    'a/images/b/labels/c.d.txt'
    """
    parts = list(image.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _parse_row(
    line: str,
    names: Sequence[str],
    size: Size,
    left_out: Counter[str],
    *,
    where: str,
    scored: bool = False,
) -> Instance | None:
    """The box, cut as by ``cut_box``, or the mask of a row; None for one without area.

    A box may have a score behind it, and a mask too where rows are ``scored``: an even number of columns.
    """
    fields = line.split()
    try:
        label, *shares = [float(field) for field in fields]
    except ValueError as error:
        raise FormatError(f"{where}: expected numbers, not {line.strip()!r:.60}") from error
    if not label.is_integer():
        raise FormatError(f"{where}: expected the number of a class, not {fields[0]}")
    if not 0 <= label < len(names):
        raise FormatError(f"{where}: class {int(label)} is out of range: there are {len(names)}, from 0")
    n_columns = len(fields)
    score = shares.pop() if n_columns == 6 or (scored and n_columns > 6 and n_columns % 2 == 0) else 1.0
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise FormatError(
            f"{where}: {n_columns} columns; expected 5 (class cx cy width height), or the class and three or "
            "more corners x y; a score may follow"
        )
    if scored and not 0 <= score <= 1:
        raise FormatError(f"{where}: expected a score from 0 to 1 at the end, not {fields[-1]}")
    if not all(-_OUTSIDE <= share <= 1 + _OUTSIDE for share in shares):
        raise FormatError(f"{where}: expected shares of the image, from 0 to 1, not {line.strip()!r:.60}")
    name = names[int(label)]
    if len(shares) == 4:
        box = _box(shares, size, left_out)
        return Instance(name, "thing", box, score=score) if box is not None else None
    corners = [(x * size.width, y * size.height) for x, y in zip(shares[::2], shares[1::2], strict=True)]
    mask = polygon_to_mask([(_snap(x), _snap(y)) for x, y in corners], size)
    return Instance(name, "thing", mask=mask, score=score) if mask.area else None


def _box(shares: Sequence[float], size: Size, left_out: Counter[str]) -> Box | None:
    cx, cy, width, height = shares
    if min(width, height) < 0:
        return None
    x0, x1 = ((cx + half * width) * size.width for half in (-0.5, 0.5))
    y0, y1 = ((cy + half * height) * size.height for half in (-0.5, 0.5))
    return cut_box(Box(x0, y0, x1, y1), size, left_out)


def _snap(place: float) -> float:
    """A place between pixels that ten digits of a share miss by less than a thousandth of a pixel."""
    return float(round(place)) if abs(place - round(place)) < 1e-3 else place


def _read_data(path: Path) -> dict[str, Any]:
    data = parse_yaml(read_text(path), path)
    if not isinstance(data, dict):
        raise FormatError(f"{path}: expected names, train and val, not {type(data).__name__}")
    return data


def _names(data: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """The names of the classes by their numbers: a list, or an object with the numbers from 0 as keys."""
    names = data.get("names")
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in names):
        raise FormatError(f"{path}: expected a list under names, or an object by numbers from 0")
    texts = tuple(str(name) for name in names)
    if len(set(texts)) < len(texts):
        raise FormatError(f"{path}: two classes have one name")
    return texts


def _sides(data: Mapping[str, Any], folder: Path, path: Path | None) -> list[tuple[str, Path]]:
    """Folders of images with their splits; of one that is named twice, the one that is called as it is."""
    found: dict[Path, str] = {}
    for side in (*_SIDES, *(key for key, value in data.items() if _is_images(value))):
        for place in _places(data.get(side)):
            images = _resolve(place, data, folder)
            if images is None:
                raise FormatError(f"{path}: {side} names {place!r}, which is no folder below {folder}")
            if images not in found or images.name == side:
                found[images] = str(side)
    if found:
        return [(side, images) for images, side in found.items()]
    images = folder / "images"
    if not images.is_dir():
        raise FormatError(f"{folder} is no YOLO dataset: expected data.yaml, or images beside labels")
    below = sorted(one for one in images.iterdir() if one.is_dir())
    return [(one.name, one) for one in below] or [("", images)]


def _is_images(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("images/")


def _places(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _resolve(place: str, data: Mapping[str, Any], folder: Path) -> Path | None:
    """The folder that a path means: below ``path``, or beside the file, also where that was moved."""
    root = data.get("path")
    roots = [folder / root, folder] if isinstance(root, str) else [folder]
    tried = [one / place for one in roots] + [folder / place.removeprefix("../")]
    return next((one for one in tried if one.is_dir()), None)


def _numbers(sides: Sequence[tuple[str, Path]]) -> tuple[str, ...]:
    """The numbers of the classes up to the largest that a row has."""
    largest = -1
    for _, folder in sides:
        for image in images_below(folder):
            path = labels_path(image)
            for line in read_text(path).splitlines() if path.exists() else ():
                first = line.split(maxsplit=1)[0] if line.strip() else ""
                largest = max(largest, int(first) if first.isdecimal() else -1)
    return tuple(map(str, range(largest + 1)))
