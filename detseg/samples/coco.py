"""Scenes as COCO data sets: detection JSON, and panoptic JSON with its PNGs.

The formats are those of https://cocodataset.org/#format-data. Boxes are [x, y, width, height] in pixels,
masks are run lengths in COCO's compressed form, ids start at 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from detseg.files import write_whole
from detseg.geometry.masks import counts_to_string, mask_to_box
from detseg.samples.scenes import DEFAULT_SIZE, SAMPLE_CLASSES, Scene, generate_scene
from detseg.types import Box, Mask, Size

CocoRecord = dict[str, Any]

CATEGORY_IDS = {sample.name: i for i, sample in enumerate(SAMPLE_CLASSES, start=1)}


@dataclass(frozen=True, slots=True)
class SceneDataset:
    """Where ``write_scenes`` put a data set."""

    images: Path
    """The folder of the photographs, PNG."""
    detection: Path
    """COCO detection JSON: boxes and masks of the things."""
    panoptic: Path
    """COCO panoptic JSON; its PNGs are in the folder of that name without ``.json``."""


def write_scenes(folder: Path, seeds: Iterable[int], size: Size = DEFAULT_SIZE) -> SceneDataset:
    """Write the scenes of those seeds and their truth into a folder.

    Files of the same name are replaced. An image's id is its place in the order of the seeds, from 1.
    """
    dataset = SceneDataset(folder / "images", folder / "instances.json", folder / "panoptic.json")
    maps = dataset.panoptic.with_suffix("")
    dataset.images.mkdir(parents=True, exist_ok=True)
    maps.mkdir(exist_ok=True)
    images: list[CocoRecord] = []
    things: list[CocoRecord] = []
    panoptic: list[CocoRecord] = []
    for image_id, seed in enumerate(seeds, start=1):
        scene = generate_scene(seed, size)
        images.append(encode_image(scene, image_id))
        things.extend(encode_things(scene, image_id, first_id=len(things) + 1))
        panoptic.append(encode_segments(scene, image_id))
        Image.fromarray(scene.image).save(dataset.images / images[-1]["file_name"])
        Image.fromarray(encode_panoptic_map(scene)).save(maps / panoptic[-1]["file_name"])
    _write_json(dataset.detection, images, things, _categories(only_things=True))
    _write_json(dataset.panoptic, images, panoptic, _categories(only_things=False))
    return dataset


def encode_image(scene: Scene, image_id: int) -> CocoRecord:
    """COCO's entry of the photograph."""
    size = {"width": scene.size.width, "height": scene.size.height}
    return {"id": image_id, "file_name": _file_name(scene), **size}


def encode_things(scene: Scene, image_id: int, *, first_id: int) -> list[CocoRecord]:
    """COCO's detection annotations of a scene, in the order of its instances."""
    things = [(i.label, i.mask) for i in scene.instances if i.kind == "thing" and i.mask is not None]
    return [
        {"id": number, "image_id": image_id, "iscrowd": 0, **_shape(label, mask), "segmentation": _rle(mask)}
        for number, (label, mask) in enumerate(things, start=first_id)
    ]


def encode_segments(scene: Scene, image_id: int) -> CocoRecord:
    """COCO's panoptic annotation of a scene: one entry for all of its segments."""
    segments = [
        {"id": segment_id, "iscrowd": 0, **_shape(instance.label, instance.mask)}
        for segment_id, instance in zip(scene.segment_ids, scene.instances, strict=True)
        if instance.mask is not None
    ]
    return {"image_id": image_id, "file_name": _file_name(scene), "segments_info": segments}


def encode_panoptic_map(scene: Scene) -> npt.NDArray[np.uint8]:
    """The segment ids as colours, id = R + 256 G + 65536 B, shape (H, W, 3)."""
    ids = scene.panoptic
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)


def _file_name(scene: Scene) -> str:
    return f"scene-{scene.seed:06d}.png"


def _shape(label: str, mask: Mask) -> CocoRecord:
    box = mask_to_box(mask) or Box(0, 0, 0, 0)
    xywh = [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0]
    return {"category_id": CATEGORY_IDS[label], "bbox": xywh, "area": mask.area}


def _rle(mask: Mask) -> CocoRecord:
    return {"size": [mask.size.height, mask.size.width], "counts": counts_to_string(mask.counts)}


def _categories(*, only_things: bool) -> list[CocoRecord]:
    categories = []
    for sample in SAMPLE_CLASSES:
        entry = {"id": CATEGORY_IDS[sample.name], "name": sample.name, "supercategory": sample.kind}
        if only_things:
            if sample.kind == "thing":
                categories.append(entry)
        else:
            colour = [int(sample.colour[i : i + 2], 16) for i in (1, 3, 5)]
            categories.append({**entry, "isthing": int(sample.kind == "thing"), "color": colour})
    return categories


def _write_json(
    path: Path,
    images: Sequence[CocoRecord],
    annotations: Sequence[CocoRecord],
    categories: Sequence[CocoRecord],
) -> None:
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_whole(path, json.dumps(content))
