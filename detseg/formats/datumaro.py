"""Datumaro's own format: https://github.com/open-edge-platform/datumaro.

``annotations/<split>.json`` has images, and what is on them: boxes, and masks as COCO's run lengths. A box
and a mask of one object are in one group. ``images/<split>`` has the images, which are known by their names
without ending; without a split both are ``default``. Stuff has "stuff" as parent: COCO's supercategory there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format, stem_of, take_stem
from detseg.formats.datumaro_files import ANNOTATIONS, IMAGES, NO_SPLIT, STUFF, VERSION, read_datumaro
from detseg.formats.json_lists import JsonLists
from detseg.geometry.boxes import box_to_xywh
from detseg.geometry.masks import encode_mask
from detseg.taxonomy import LabelClass
from detseg.types import Instance

_ITEMS = "items"
_IMAGE = 2
"""The kind of media."""


def image_path(image: ImageLabels) -> str:
    return f"{IMAGES}/{image.split or NO_SPLIT}/{image.name}"


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write a file for each split, in one pass over the images."""
    numbers = {cls.name: number for number, cls in enumerate(contents.classes)}
    categories = {
        "label": {
            "labels": [_encode_class(cls) for cls in contents.classes],
            "label_groups": [],
            "attributes": [],
        }
    }
    head = {"dm_format_version": VERSION, "media_type": _IMAGE, "infos": {}, "categories": categories}
    files: dict[str, JsonLists] = {}
    stems: dict[str, set[str]] = {}
    (folder / ANNOTATIONS).mkdir(exist_ok=True)
    with ExitStack() as stack:
        for image in contents.images():
            split = image.split or NO_SPLIT
            if split not in files:
                files[split] = JsonLists((_ITEMS,), stack)
            stem = take_stem(stems.setdefault(split, set()), stem_of(image.name))
            annotations = [
                one
                for place, region in enumerate(image.instances, 1)
                for one in _encode(region, place, numbers)
            ]
            size = [image.size.height, image.size.width]
            files[split].append(
                _ITEMS, {"id": stem, "annotations": annotations, "image": {"path": image.name, "size": size}}
            )
        for split, file in files.items():
            file.write(folder / ANNOTATIONS / f"{split}.json", head)
    return tuple(folder / ANNOTATIONS / f"{split}.json" for split in sorted(files))


DATUMARO = Format("datumaro", image_path, None, write, read=read_datumaro)


def _encode_class(cls: LabelClass) -> dict[str, Any]:
    return {"name": cls.name, "parent": STUFF if cls.kind == "stuff" else "", "attributes": []}


def _encode(one: Instance, place: int, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Yield the box and the mask of an instance, in a group if there are both."""
    both = one.box is not None and one.mask is not None
    facts = {
        "id": place,
        "attributes": {},
        "group": place if both else 0,
        "label_id": numbers[one.label],
        "z_order": 0,
    }
    if one.box is not None:
        yield {**facts, "type": "bbox", "bbox": list(box_to_xywh(one.box))}
    if one.mask is not None:
        yield {**facts, "type": "mask", "rle": encode_mask(one.mask)}
