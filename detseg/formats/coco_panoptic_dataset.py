"""Datasets as COCO panoptic: ``annotations/panoptic_train.json``, and a folder of PNGs of that name.

Images are where COCO's other files have them, ``train`` or without a split ``images``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from detseg.errors import FormatError, ImageError
from detseg.files import replacing
from detseg.formats import ImageLabels
from detseg.formats.coco import encode_image
from detseg.formats.coco_entries import image_problem
from detseg.formats.coco_files import find_files, find_image, image_folders, split_of
from detseg.formats.coco_panoptic import read_panoptic_truth
from detseg.formats.dataset import Contents, Format, Opened, check_new
from detseg.formats.json_lists import JsonLists
from detseg.formats.layers import map_losses, paint_masks
from detseg.geometry.boxes import box_to_xywh
from detseg.geometry.label_maps import map_to_array, segments_to_masks
from detseg.geometry.masks import mask_to_box
from detseg.images import open_png, read_bytes
from detseg.taxonomy import LabelClass, classes_of
from detseg.types import Instance, Kind, Size

Segments = npt.NDArray[np.int32]

_PREFIX = "panoptic"


def image_path(image: ImageLabels) -> str:
    return f"{image.split or 'images'}/{image.name}"


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write a file and a folder of PNGs for each split, in one pass over the images.

    A PNG has the name of its image. A pixel belongs to the first mask that covers it; a segment's id is the
    place of its mask, from 1, and pixels of none are 0.
    """
    (folder / "annotations").mkdir(exist_ok=True)
    files: dict[str, _PanopticFile] = {}
    with ExitStack() as stack:
        for image in contents.images():
            if image.split not in files:
                name = f"panoptic_{image.split}.json" if image.split else "panoptic.json"
                files[image.split] = _PanopticFile(folder / "annotations" / name, contents.classes, stack)
            files[image.split].add(image, str(PurePath(image.name).with_suffix(".png")))
        for file in files.values():
            file.close()
    paths = sorted(file.path for file in files.values())
    return tuple(path for one in paths for path in (one, one.with_suffix("")))


def read(path: Path) -> Opened:
    """Open a JSON file, or a folder with ``annotations/panoptic*.json``, with their folders of PNGs.

    Classes that ``isthing`` does not call things are stuff. Raises FormatError for what is none, and while
    images are read for a PNG that is wrong.
    """
    files = find_files(path, _PREFIX)
    truths = {file: read_panoptic_truth(file) for file in files}
    kinds: dict[str, Kind] = {
        category["name"]: "thing" if category["isthing"] else "stuff"
        for truth in truths.values()
        for category in truth["categories"]
    }
    reader = _Reader(truths, kinds, Counter())
    return Opened(classes_of(kinds), reader.images, reader.left_out)


COCO_PANOPTIC = Format("coco-panoptic", image_path, map_losses, write, read=read)


@dataclass(frozen=True, slots=True)
class _Reader:
    truths: Mapping[Path, Mapping[str, Any]]
    kinds: Mapping[str, Kind]
    left_out: Counter[str]

    def images(self) -> Iterator[ImageLabels]:
        self.left_out.clear()
        for file, truth in self.truths.items():
            labels = {category["id"]: category["name"] for category in truth["categories"]}
            entries = {entry["image_id"]: entry for entry in truth["annotations"]}
            for position, image in enumerate(truth["images"]):
                where = f"{file}, images {position}"
                if problem := image_problem(image):
                    raise FormatError(f"{where}: {problem}")
                if not isinstance(image.get("file_name"), str):
                    raise FormatError(f"{where}: expected a file_name, not {image.get('file_name')!r:.60}")
                if image["id"] in entries:
                    yield self._image(file, image, entries[image["id"]], labels)
                else:
                    self.left_out["images without an annotation"] += 1

    def _image(
        self, file: Path, image: Mapping[str, Any], entry: Mapping[str, Any], labels: Mapping[int, str]
    ) -> ImageLabels:
        png = file.with_suffix("") / entry["file_name"]
        segments = _read_segments(png)
        size = Size(segments.shape[1], segments.shape[0])
        stated = [image.get(side) for side in ("width", "height")]
        if any(said not in (None, own) for said, own in zip(stated, (size.width, size.height), strict=True)):
            raise FormatError(f"{png} is {size}, its image {stated[0]}x{stated[1]}")
        split = split_of(file, _PREFIX)
        uri = find_image(image_folders(file, split), image["file_name"])
        found = tuple(self._instances(segments, entry["segments_info"], labels))
        return ImageLabels(image["file_name"], size, found, split, uri)

    def _instances(
        self, segments: Segments, entries: Sequence[Mapping[str, Any]], labels: Mapping[int, str]
    ) -> Iterator[Instance]:
        """Crowds are no single objects, and are left out."""
        masks = segments_to_masks(segments, [entry["id"] for entry in entries])
        for entry, mask in zip(entries, masks, strict=True):
            if entry.get("iscrowd"):
                self.left_out["crowds"] += 1
            elif not mask.area:
                self.left_out["regions without area"] += 1
            else:
                label = labels[entry["category_id"]]
                yield Instance(label, self.kinds[label], mask=mask)


def _read_segments(path: Path) -> Segments:
    """The segment ids of a PNG, shape (H, W)."""
    try:
        with open_png(read_bytes(str(path))) as image:
            if image.mode != "RGB":
                raise FormatError(f"{path} is {image.mode}: expected RGB, whose colours are segment ids")
            colours = np.asarray(image).astype(np.int32)
    except ImageError as error:
        raise FormatError(f"{path} {error}") from error
    return colours @ np.array([1, 256, 65536], dtype=np.int32)


class _PanopticFile:
    """A panoptic JSON file in the making, and its folder of PNGs."""

    def __init__(self, path: Path, classes: Sequence[LabelClass], stack: ExitStack) -> None:
        self.path = path
        self._classes = classes
        self._numbers = {cls.name: number for number, cls in enumerate(classes, 1)}
        self._lists = JsonLists(("images", "annotations"), stack)
        path.with_suffix("").mkdir(exist_ok=True)

    def add(self, image: ImageLabels, png: str) -> None:
        shaped = [one for one in image.instances if one.mask is not None]
        owners = map_to_array(paint_masks(replace(image, instances=tuple(shaped))))
        visible = segments_to_masks(owners, range(1, len(shaped) + 1))
        segments = [
            {
                "id": number,
                "category_id": self._numbers[one.label],
                "iscrowd": 0,
                "bbox": box_to_xywh(box),
                "area": mask.area,
            }
            for number, (one, mask) in enumerate(zip(shaped, visible, strict=True), 1)
            if (box := mask_to_box(mask))
        ]
        path = self.path.with_suffix("") / png
        path.parent.mkdir(parents=True, exist_ok=True)
        check_new(path)
        with replacing(path, binary=True) as file:
            colours = np.stack([owners % 256, owners // 256 % 256, owners // 65536], axis=-1)
            Image.fromarray(colours.astype(np.uint8)).save(file, "PNG")
        image_id = self._lists.counts["images"] + 1
        self._lists.append("images", encode_image(image, image_id))
        self._lists.append("annotations", {"image_id": image_id, "file_name": png, "segments_info": segments})

    def close(self) -> None:
        categories = [_encode_class(cls, number) for number, cls in enumerate(self._classes, 1)]
        self._lists.write(self.path, {"categories": categories})


def _encode_class(cls: LabelClass, number: int) -> dict[str, Any]:
    colour = [int(cls.colour[i : i + 2], 16) for i in (1, 3, 5)]
    return {"id": number, "name": cls.name, "isthing": int(cls.kind == "thing"), "color": colour}
