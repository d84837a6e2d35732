"""COCO panoptic files: JSON, and a PNG of segment ids for each image.

The format is the fourth of https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image

from detseg.errors import FormatError, ImageError
from detseg.files import read_json, replacing
from detseg.formats import ImageLabels
from detseg.formats.coco import encode_image
from detseg.formats.coco_entries import is_id, number_ids, whole_numbers
from detseg.formats.dataset import Contents, Format, Loss, check_new
from detseg.formats.json_lists import JsonLists
from detseg.formats.layers import overlap_losses, paint_masks
from detseg.geometry.boxes import box_to_xywh
from detseg.geometry.label_maps import map_to_array, segments_to_masks
from detseg.geometry.masks import mask_to_box
from detseg.images import open_png, read_bytes
from detseg.taxonomy import LabelClass


@dataclass(frozen=True, slots=True)
class PanopticFiles:
    """A truth and results that belong together: ids of images are numbers, each image is in both.

    ``folders`` hold the PNGs of the truth and of the results. Segments have no ``area``: an evaluation would
    believe it, and a wrong one gives an IoU above 1. Without it, the pixels of the PNG are counted.
    """

    truth: dict[str, Any]
    results: dict[str, Any]
    folders: tuple[Path, Path]


def read_coco_panoptic(
    truth_path: Path,
    results_path: Path,
    *,
    truth_masks: Path | None = None,
    results_masks: Path | None = None,
) -> PanopticFiles:
    """Read panoptic truth and results: a JSON file and a folder of PNGs each.

    A folder that is not given is the JSON file's path without ``.json``. Every image of the truth needs a
    result. Raises FormatError for files that are not COCO panoptic or do not belong together.
    """
    truth, results = _with_numbers(_read(truth_path, ("images", "categories")), _read(results_path, ()))
    _check_categories(truth["categories"], truth_path)
    known = {category["id"] for category in truth["categories"]}
    for data, path in ((truth, truth_path), (results, results_path)):
        _check_annotations(data["annotations"], known, path)
    _check_images(truth, results, truth_path, results_path)
    folders = (truth_masks or truth_path.with_suffix(""), results_masks or results_path.with_suffix(""))
    for folder in folders:
        if not folder.is_dir():
            raise FormatError(f"the folder of panoptic PNGs {folder} does not exist: name the right one")
    for data, folder in zip((truth, results), folders, strict=True):
        for entry in data["annotations"]:
            _check_png(folder / entry["file_name"])
    return PanopticFiles(truth, results, folders)


def image_path(image: ImageLabels) -> str:
    return f"{image.split or 'images'}/{image.name}"


def losses(image: ImageLabels) -> Mapping[Loss, int]:
    """Count what has no mask, boxes that are more than the masks', and overlaps."""
    lost = overlap_losses(image)
    for one in image.instances:
        if one.mask is None or not one.mask.area:
            lost["regions without a mask left out"] += 1
        elif one.box is not None and one.box != mask_to_box(one.mask):
            lost["boxes beside masks left out"] += 1
    return lost


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


COCO_PANOPTIC = Format("coco-panoptic", image_path, losses, write)


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


def _read(path: Path, other_keys: tuple[str, ...]) -> dict[str, Any]:
    """A panoptic JSON file, with what an evaluation needs of each segment."""
    data = read_json(path)
    for key in ("annotations", *other_keys):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise FormatError(f'{path} is not COCO panoptic: expected an object with a list under "{key}"')
    annotations = []
    for position, entry in enumerate(whole_numbers(data["annotations"], "image_id")):
        if not _is_entry(entry):
            raise FormatError(
                f"{path}, annotations {position}: expected image_id, file_name and a list of segments_info"
            )
        segments = [
            {key: segment[key] for key in ("id", "category_id", "iscrowd") if key in segment}
            for segment in whole_numbers(entry["segments_info"], "id", "category_id", "iscrowd")
        ]
        annotations.append({**entry, "segments_info": segments})
    return {key: data[key] for key in other_keys} | {"annotations": annotations}


def _with_numbers(truth: dict[str, Any], results: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both with numbers for the ids of images, which cityscapesScripts and others write as text."""
    numbers = number_ids([entry["image_id"] for data in (truth, results) for entry in data["annotations"]])
    truth, results = (
        {**data, "annotations": numbers.renumber(data["annotations"], "image_id")}
        for data in (truth, results)
    )
    images = numbers.renumber(whole_numbers(truth["images"], "id"), "id")
    return {
        **truth,
        "images": images,
        "categories": whole_numbers(truth["categories"], "id", "isthing"),
    }, results


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not {"image_id", "file_name", "segments_info"} <= entry.keys():
        return False
    segments = entry["segments_info"]
    return (
        (is_id(entry["image_id"]) or isinstance(entry["image_id"], str))
        and isinstance(entry["file_name"], str)
        and isinstance(segments, list)
        and all(isinstance(segment, dict) for segment in segments)
    )


def _check_categories(categories: list[Any], path: Path) -> None:
    for position, category in enumerate(categories):
        if not isinstance(category, dict) or not {"id", "name", "isthing"} <= category.keys():
            raise FormatError(f"{path}, categories {position}: expected id, name and isthing")
        if not is_id(category["id"]) or not isinstance(category["name"], str):
            raise FormatError(f"{path}, categories {position}: expected a whole number as id and a name")
    for key in ("id", "name"):
        if len({category[key] for category in categories}) < len(categories):
            raise FormatError(f"{path}: two categories have one {key}")


def _check_annotations(annotations: list[Any], known: Collection[int], path: Path) -> None:
    for position, entry in enumerate(annotations):
        where = f"{path}, annotations {position}"
        name = PurePath(entry["file_name"])
        if name.is_absolute() or ".." in name.parts:
            raise FormatError(f"{where}: the file_name {name} leads out of the folder of PNGs")
        ids = [segment.get("id") for segment in entry["segments_info"]]
        if not all(is_id(number) for number in ids) or len(set(ids)) < len(ids):
            raise FormatError(f"{where}: expected a whole number as id of each segment, each another")
        for segment in entry["segments_info"]:
            category = segment.get("category_id")
            if not is_id(category) or category not in known:
                raise FormatError(
                    f"{where}, segment {segment['id']}: category_id {category!r} is not in the truth file"
                )


def _check_images(
    truth: Mapping[str, Any], results: Mapping[str, Any], truth_path: Path, results_path: Path
) -> None:
    asked, answered = (
        {e["image_id"]: e["file_name"] for e in data["annotations"]} for data in (truth, results)
    )
    for data, path in ((truth, truth_path), (results, results_path)):
        counts = Counter(entry["image_id"] for entry in data["annotations"])
        for number, n in counts.most_common(1):
            if n > 1:
                name = next(e["file_name"] for e in data["annotations"] if e["image_id"] == number)
                raise FormatError(f"{path}: the image_id of {name} is there {n} times")
    for these, those, where in ((asked, answered, results_path), (answered, asked, truth_path)):
        missing = sorted(these.keys() - those.keys())
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise FormatError(
                f"{where} lacks the image_id of {these[missing[0]]}{more}, which the other file has"
            )


def _check_png(path: Path) -> None:
    """Check a PNG: what reads it takes its header's word for the memory that it makes ready."""
    try:
        with open_png(read_bytes(str(path))):
            pass
    except ImageError as error:
        raise FormatError(f"{path} {error}") from error
