"""Datumaro folders that others made, a JSON file for each split, which may be larger than memory.

What shares a group and a label is one object: its box, and its masks and polygons together.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from detseg.errors import FormatError, NotJson
from detseg.files import open_regular, parse_json
from detseg.formats import ImageLabels
from detseg.formats.coco_entries import box_problem, mask_problem, name_kind
from detseg.formats.dataset import Opened, cut_box
from detseg.formats.folders import find_below, named_size, size_of
from detseg.formats.json_lists import read_lists
from detseg.geometry.boxes import xywh_to_box
from detseg.geometry.masks import decode_mask, unite_masks
from detseg.geometry.polygons import polygon_to_mask
from detseg.taxonomy import classes_of
from detseg.types import Instance, Kind, Size

ANNOTATIONS, IMAGES = "annotations", "images"
VERSION = "1.0"
NO_SPLIT = "default"
STUFF = "stuff"
_MOST_SIDE = 1 << 31  # no format of images has more

_SHAPES = {"bbox": "bbox", "mask": "rle", "polygon": "points"}
"""What is read, and where it is."""

Entry = Mapping[str, Any]


def read_datumaro(path: Path) -> Opened:
    """Open a JSON file, or a folder with such in ``annotations``.

    Raises FormatError for what is none, and while images are read for an annotation that is wrong.
    """
    files = (
        [path]
        if path.is_file()
        else sorted(path.glob(f"{ANNOTATIONS}/*.json")) or sorted(path.glob("*.json"))
    )
    if not files:
        raise FormatError(f"{path} is no Datumaro folder: expected {ANNOTATIONS}/*.json")
    parts = [_index(file) for file in files]
    kinds: dict[str, Kind] = {
        name: "stuff" if name in part.stuff else "thing" for part in parts for name in part.labels
    }
    reader = _Reader(parts, Counter())
    return Opened(classes_of(kinds), reader.images, reader.left_out)


@dataclass(frozen=True, slots=True)
class _Part:
    """A file: ``labels`` by number, and where in it the items are, as offset and bytes."""

    path: Path
    labels: Sequence[str]
    stuff: frozenset[str]
    places: Sequence[tuple[int, int]]

    @property
    def split(self) -> str:
        return "" if self.path.stem == NO_SPLIT else self.path.stem

    def items(self, file: IO[bytes]) -> Iterator[tuple[str, Any]]:
        """Yield the items of the opened file, each with what errors call it."""
        for position, (offset, n_bytes) in enumerate(self.places):
            where = f"{self.path}, items {position}"
            try:
                yield where, parse_json(os.pread(file.fileno(), n_bytes, offset), where)
            except NotJson as error:
                raise FormatError(f"{self.path} has changed since it was opened: try again") from error


def _index(path: Path) -> _Part:
    places: list[tuple[int, int]] = []
    head = read_lists(
        path,
        {"items": lambda _, offset, n_bytes: places.append((offset, n_bytes))},
        "a Datumaro dataset",
        kept=("categories",),
    )
    try:
        labels = head["categories"].get("label", {"labels": []})["labels"]
        names = [label["name"] for label in labels]
        stuff = frozenset(label["name"] for label in labels if label.get("parent") == STUFF)
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{path} is not a Datumaro dataset: expected labels under categories") from error
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise FormatError(f"{path}: expected labels with names, each one's own")
    return _Part(path, names, stuff, places)


@dataclass(frozen=True, slots=True)
class _Reader:
    parts: Sequence[_Part]
    left_out: Counter[str]

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        for part in self.parts:
            folders = _image_folders(part)
            with open_regular(part.path) as file:
                for where, item in part.items(file):
                    if (
                        isinstance(item, dict)
                        and not item.get("image")
                        and ("video_frame" in item or "point_cloud" in item)
                    ):
                        self.left_out["items that are no images"] += 1
                        continue
                    name, uri, size = _read_image(item, folders, where)
                    entries = item.get("annotations") or []
                    if not isinstance(entries, list):
                        raise FormatError(
                            f"{where}: expected a list of annotations, not {name_kind(entries)}"
                        )
                    found = tuple(self._instances(part, entries, size, where))
                    yield ImageLabels(name, size, found, part.split, uri)

    def _instances(self, part: _Part, entries: Sequence[Any], size: Size, where: str) -> Iterator[Instance]:
        groups: defaultdict[tuple[int, int, int], list[Entry]] = defaultdict(list)
        for position, entry in enumerate(entries):
            kind = entry.get("type") if isinstance(entry, dict) else None
            if not isinstance(kind, str) or kind not in _SHAPES:
                self.left_out[f"annotations of type {kind!s:.40}"] += 1
            elif _is_crowd(entry):
                self.left_out["crowds"] += 1
            else:
                label_id, group = entry.get("label_id"), entry.get("group")
                if not isinstance(label_id, int) or not 0 <= label_id < len(part.labels):
                    raise FormatError(
                        f"{where}: label_id {label_id!r:.60} is none of {len(part.labels)} labels"
                    )
                in_group = isinstance(group, int) and group != 0
                groups[(label_id, group, -1) if in_group else (label_id, 0, position)].append(entry)
        for (label_id, _, _), members in groups.items():
            label = part.labels[label_id]
            for shapes in _objects(members):
                one = _read_instance(
                    shapes,
                    label,
                    is_stuff=label in part.stuff,
                    size=size,
                    where=where,
                    left_out=self.left_out,
                )
                if one is None:
                    self.left_out["regions without area"] += 1
                else:
                    yield one


def _is_crowd(entry: Entry) -> bool:
    attributes = entry.get("attributes")
    return isinstance(attributes, dict) and bool(attributes.get("is_crowd"))


def _objects(members: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield what is one object of a group's members: several boxes in it are as many."""
    boxes = [one for one in members if one["type"] == "bbox"]
    if len(boxes) < 2:
        yield members
    else:
        yield from ([one] for one in members)


def _read_instance(
    shapes: Sequence[Entry],
    label: str,
    *,
    is_stuff: bool,
    size: Size,
    where: str,
    left_out: Counter[str],
) -> Instance | None:
    """The object of some shapes; None for one without area."""
    sides = (size.height, size.width)
    box, masks = None, []
    for entry in shapes:
        shape: Any = entry.get(_SHAPES[entry["type"]])
        if entry["type"] == "bbox":
            problem = box_problem(shape)
        elif entry["type"] == "mask" and not isinstance(shape, dict):
            problem = f"expected run lengths as rle, not {name_kind(shape)}"
        else:
            problem = mask_problem([shape] if entry["type"] == "polygon" else shape, sides)
        if problem:
            raise FormatError(f"{where}: {problem}")
        if entry["type"] == "bbox":
            box = cut_box(xywh_to_box(shape), size, left_out)
        elif entry["type"] == "mask":
            masks.append(decode_mask(shape))
        else:
            masks.append(polygon_to_mask(list(zip(shape[::2], shape[1::2], strict=True)), size))
    mask = unite_masks(masks) if masks else None
    mask = mask if mask is not None and mask.area else None
    if box is None and mask is None:
        return None
    return Instance(
        label, "stuff" if is_stuff else "thing", None if is_stuff and mask is not None else box, mask
    )


def _read_image(item: Any, folders: Sequence[Path], where: str) -> tuple[str, str, Size]:
    """The name of an item's image, where it is (empty for nowhere), and its size."""
    facts = item.get("image") if isinstance(item, dict) else None
    facts = facts if isinstance(facts, dict) else {}
    name = facts.get("path") or (
        f"{item['id']}.jpg" if isinstance(item, dict) and isinstance(item.get("id"), str) else None
    )
    if not isinstance(name, str):
        raise FormatError(f"{where}: expected an object with an id, and an image with a path")
    uri = next((found for folder in folders if (found := find_below(folder, name))), "")
    size = facts.get("size")
    if isinstance(size, list) and len(size) == 2 and all(map(_is_side, size)):
        return name, uri, named_size(size[1], size[0], where)
    if not uri:
        raise FormatError(f"{where}: its size is unknown, as the image {name} is not in {IMAGES}")
    return name, uri, size_of(Path(uri))


def _is_side(side: Any) -> bool:
    return isinstance(side, int) and 0 < side < _MOST_SIDE


def _image_folders(part: _Part) -> tuple[Path, ...]:
    """The folders that a file's images may be in."""
    root = part.path.parent.parent if part.path.parent.name == ANNOTATIONS else part.path.parent
    return tuple(one for one in (root / IMAGES / part.path.stem, root / IMAGES, root) if one.is_dir())
