"""COCO datasets that others made, a file or a folder of them, with the files of their images.

A class whose supercategory is "stuff" is that; all others are things.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from detseg.errors import FormatError
from detseg.formats import ImageLabels
from detseg.formats.coco import CocoLabels, read_coco_labels, read_instances
from detseg.formats.dataset import Opened
from detseg.formats.folders import size_of
from detseg.taxonomy import LabelClass, distinct_colour
from detseg.types import Instance, Size

_PREFIX = "instances"


def read_coco_files(path: Path) -> Opened:
    """Open a JSON file, or a folder with ``annotations/instances*.json``, Roboflow's files or ``*.json``.

    The split is in the name, as ``instances_train``, or is the folder's. Raises FormatError for what is none.
    """
    files = find_files(path, _PREFIX)
    read = lru_cache(maxsize=1)(read_coco_labels)
    kinds: dict[str, bool] = {}
    for file in files:
        labels = read(file)
        kinds |= {name: name in labels.stuff for name in labels.labels.values()}
    classes = (
        LabelClass(name, "stuff" if is_stuff else "thing", distinct_colour(n))
        for n, (name, is_stuff) in enumerate(kinds.items())
    )
    reader = _Reader(files, read, Counter())
    return Opened(tuple(classes), reader.images, reader.left_out)


@dataclass(frozen=True, slots=True)
class _Reader:
    files: Sequence[Path]
    read: Callable[[Path], CocoLabels]
    left_out: Counter[str]

    def images(self) -> Iterator[ImageLabels]:
        """The entries of one file, the last that was read, are in memory."""
        self.left_out.clear()
        for file in self.files:
            labels, split = self.read(file), split_of(file, _PREFIX)
            for name in labels.images:
                picture = find_image(file, split, name)
                size = _size(labels, name, picture)
                found = tuple(_kinds(labels, read_instances(labels, name, size)))
                self._count(labels, name, len(found))
                uri = str(picture.absolute()) if picture is not None else ""
                yield ImageLabels(name, size, found, split, uri)

    def _count(self, labels: CocoLabels, name: str, n_found: int) -> None:
        entries = labels.annotations.get(labels.images[name]["id"], ())
        n_crowds = sum(bool(entry["iscrowd"]) for entry in entries)
        self.left_out.update({"crowds": n_crowds, "regions without area": len(entries) - n_crowds - n_found})


def split_of(file: Path, prefix: str) -> str:
    """The split that a file's name says after the prefix, else its folder's.

    >>> names = ("annotations/instances_val2017.json", "a/instances.json")
    >>> [split_of(Path(name), "instances") for name in names]
    ['val2017', '']
    >>> [split_of(Path(name), "instances") for name in ("valid/_annotations.coco.json", "labels.json")]
    ['valid', '']
    """
    if file.stem.startswith(f"{prefix}_"):
        return file.stem.removeprefix(f"{prefix}_")
    return file.parent.name if file.stem == "_annotations.coco" else ""


def find_files(path: Path, prefix: str) -> list[Path]:
    """The JSON files of a dataset: the path itself, or those in the folder that are so called, else all."""
    if path.is_file():
        return [path]
    for pattern in (f"annotations/{prefix}*.json", "*/_annotations.coco.json", "*.json"):
        if found := sorted(path.glob(pattern)):
            return found
    raise FormatError(f"{path} has no COCO file: expected annotations/{prefix}*.json, or name the file")


def find_image(file: Path, split: str, name: str) -> Path | None:
    """Where the image is: as COCO is laid out, or beside the file."""
    roots = [file.parent.parent / (split or "images"), file.parent.parent / "images", file.parent]
    below = [root / name for root in (*roots, file.parent / "images", file.parent.parent)]
    return next((one for one in below if one.is_file()), None)


def _size(labels: CocoLabels, name: str, picture: Path | None) -> Size:
    image = labels.images[name]
    if image.get("width") and image.get("height"):
        return Size(image["width"], image["height"])
    if picture is None:
        raise FormatError(f"{labels.path}, {name}: it has no width and height, and its file is not there")
    return size_of(picture)


def _kinds(labels: CocoLabels, instances: Iterator[Instance]) -> Iterator[Instance]:
    """Stuff as that: with its mask alone, if it has one."""
    for one in instances:
        if one.label not in labels.stuff:
            yield one
        else:
            yield replace(one, kind="stuff", box=None if one.mask is not None else one.box)
