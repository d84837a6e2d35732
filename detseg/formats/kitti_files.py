"""KITTI folders that others made: rows with boxes in ``label_2``, masks in ``instance``, or one of both.

``training`` is the split train, ``testing`` is test. Boxes and masks belong together where the number of a
mask is that of a row of its class, as detseg writes them. Where ``label_colors.txt`` does not name the
classes of masks, they are those of Cityscapes, as in KITTI's own benchmark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np

from detseg.errors import FormatError
from detseg.formats import ImageLabels
from detseg.formats.cityscapes_classes import NOTHING, find_name, is_group, named_classes, read_names
from detseg.formats.dataset import Opened, cut_box
from detseg.formats.folders import read_text, size_of
from detseg.formats.layers import Numbers, read_numbers
from detseg.formats.picture_index import index_pictures
from detseg.geometry.label_maps import segments_to_masks
from detseg.types import Box, Instance, Kind, Size

IMAGES, BOXES, INSTANCES = "image_2", "label_2", "instance"
_N_COLUMNS = (15, 16)  # the last of 16 is a score
_IGNORED = "DontCare"
_FOLDERS = {"train": "training", "test": "testing"}
_SPLITS = {folder: split for split, folder in _FOLDERS.items()}


def folder_of_split(split: str) -> str:
    """The folder of a split, as KITTI calls it.

    >>> folder_of_split(""), folder_of_split("test"), folder_of_split("val")
    ('training', 'testing', 'val')
    """
    return _FOLDERS.get(split or "train", split)


def read_kitti(path: Path) -> Opened:
    """Open a folder of splits, or that of one, with ``label_2`` or ``instance`` beside ``image_2``.

    Raises FormatError for what is none, and while images are read for a file that is wrong, and why.
    """
    here = _is_split(path)
    folders = [path] if here else sorted(one for one in path.glob("*") if _is_split(one))
    if not folders:
        raise FormatError(f"{path} is no KITTI folder: expected training/{BOXES} or training/{INSTANCES}")
    names = read_names(path.parent if here else path)
    reader = _Reader(folders, names, Counter())
    return Opened(named_classes(names, reader.kinds()), reader.images, reader.left_out)


@dataclass(frozen=True, slots=True)
class _Reader:
    folders: Sequence[Path]
    names: Mapping[int, str]
    left_out: Counter[str]

    def kinds(self) -> dict[str, Kind]:
        """The classes that are there; stuff is what only pixels without an object have."""
        kinds: dict[str, Kind] = {}
        for folder in self.folders:
            for stem in _stems(folder):
                things = [
                    one.label for one in _read_rows(folder / BOXES / f"{stem}.txt", None, Counter()).values()
                ]
                path = folder / INSTANCES / f"{stem}.png"
                shapes = list(self._values(path, read_numbers(path, None)))
                kinds |= dict.fromkeys((*things, *(label for _, label, row in shapes if row)), "thing")
                for _, label, _ in shapes:
                    kinds.setdefault(label, "stuff")
        return kinds

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        for folder in self.folders:
            pictures = index_pictures(folder / IMAGES, name_of=_without_ending)
            stems = _stems(folder)
            self.left_out["images without labels"] += pictures.count_without(stems)
            for stem in sorted(stems):
                yield self._image(folder, stem, pictures.find(stem))

    def _image(self, folder: Path, stem: str, picture: Path | None) -> ImageLabels:
        numbers = read_numbers(folder / INSTANCES / f"{stem}.png", None)
        if picture is not None:
            size = size_of(picture)
        elif numbers is not None:
            size = Size(numbers.shape[1], numbers.shape[0])
        else:
            raise FormatError(f"{folder}, {stem}: its size is unknown, as its image is not in {IMAGES}")
        rows = _read_rows(folder / BOXES / f"{stem}.txt", size, self.left_out)
        found = self._instances(folder / INSTANCES / f"{stem}.png", rows, size)
        name = picture.relative_to(folder / IMAGES).as_posix() if picture is not None else f"{stem}.png"
        uri = str(picture.absolute()) if picture is not None else ""
        return ImageLabels(name, size, found, _SPLITS.get(folder.name, folder.name), uri)

    def _instances(self, path: Path, rows: Mapping[int, Instance], size: Size) -> tuple[Instance, ...]:
        """The things of the rows with the masks that are theirs, then what has a mask alone."""
        numbers = read_numbers(path, size)
        if numbers is None:
            return tuple(rows.values())
        things, others = dict(rows), []
        shapes = list(self._values(path, numbers))
        masks = segments_to_masks(numbers, [value for value, _, _ in shapes])
        for (_, label, row), mask in zip(shapes, masks, strict=True):
            if row in things and things[row].label == label:
                things[row] = replace(things[row], mask=mask)
            else:
                others.append(Instance(label, "thing" if row else "stuff", mask=mask))
        return (*things.values(), *others)

    def _values(self, path: Path, numbers: Numbers | None) -> Iterator[tuple[int, str, int]]:
        """Yield the values of a PNG that are something, with their label and the number of the object."""
        for value in np.unique(numbers).tolist() if numbers is not None else ():
            number, row = divmod(value, 256)
            if number == NOTHING:
                continue
            label = find_name(self.names, number, path)
            if row == 0 and is_group(self.names, label):
                self.left_out["groups of objects"] += 1
            else:
                yield value, label, row


def _without_ending(below: PurePath) -> str:
    return str(below.with_suffix(""))


def _is_split(folder: Path) -> bool:
    return (folder / BOXES).is_dir() or (folder / INSTANCES).is_dir()


def _stems(folder: Path) -> set[str]:
    """The images that have labels, by their names without ending."""
    found = ((folder / kind, ending) for kind, ending in ((BOXES, ".txt"), (INSTANCES, ".png")))
    return {
        str(path.relative_to(below).with_suffix(""))
        for below, ending in found
        for path in below.rglob(f"*{ending}")
    }


def _read_rows(path: Path, size: Size | None, left_out: Counter[str]) -> dict[int, Instance]:
    """The things of a file by their lines, cut at the image's border where its size is known."""
    rows = {}
    for number, line in enumerate(read_text(path).splitlines() if path.exists() else (), 1):
        fields = line.split()
        if not fields:
            continue
        where = f"{path}, line {number}"
        if len(fields) not in _N_COLUMNS:
            raise FormatError(f"{where}: {len(fields)} columns; expected 15, or 16 with a score at the end")
        if fields[0] == _IGNORED:
            left_out["regions that are DontCare"] += 1
            continue
        box = _parse_box(fields[4:8], where)
        cut = cut_box(box, size, left_out) if size is not None else box
        if cut is None:
            left_out["regions without area"] += 1
        else:
            rows[number] = Instance(fields[0], "thing", cut)
    return rows


def _parse_box(fields: Sequence[str], where: str) -> Box:
    try:
        x0, y0, x1, y1 = (float(field) for field in fields)
        return Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    except ValueError as error:
        raise FormatError(f"{where}: expected a box in pixels, not {' '.join(fields)}") from error
