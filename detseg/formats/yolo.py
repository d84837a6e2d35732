"""YOLO's detection and segmentation datasets, as Ultralytics reads them.

The format is that of https://docs.ultralytics.com/datasets/: ``labels/train/<stem>.txt`` beside
``images/train/<image>``, and ``data.yaml``, whose paths are relative to its folder. A row is ``class cx cy
width height`` or ``class x y x y x y ...``, all but the class as shares of the image's width and height. The
file of an image without objects is empty.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from detseg.files import replacing, write_whole
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format, Loss, check_new
from detseg.formats.yolo_files import read_yolo
from detseg.geometry.boxes import clip_box
from detseg.geometry.extent import extent
from detseg.geometry.masks import mask_to_box
from detseg.geometry.outlines import measure_outline
from detseg.geometry.polygons import outer_rings
from detseg.types import Box, Instance, Size

_SIDES = ("train", "val", "test")


def image_path(image: ImageLabels) -> str:
    return f"images/{_side(image.split)}/{image.name}"


def notes(splits: Mapping[str, int]) -> Sequence[str]:
    """Lines about sides that Ultralytics wants or does not know."""
    sides = {_side(split) for split in splits}
    lines = []
    if "val" not in sides:
        lines.append("there is no val, which Ultralytics wants: data.yaml names train's images for it")
    if others := sorted(sides.difference(_SIDES)):
        lines.append(f"Ultralytics uses train, val and test, not {', '.join(others)}")
    return lines


def detection_losses(image: ImageLabels) -> Mapping[Loss, int]:
    """Stuff and masks: a box is left of things."""
    lost: Counter[Loss] = Counter()
    for one in image.instances:
        if one.kind == "stuff":
            lost["stuff left out"] += 1
        elif (box := clip_box(extent(one), image.size)) is None:
            lost["regions without area left out"] += 1
        else:
            lost["masks left out"] += one.mask is not None
            lost["boxes cut at the image's border"] += box != extent(one)
    return +lost


def segment_losses(image: ImageLabels) -> Mapping[Loss, int]:
    """Holes, what pieces belong together, which boxes are more than the masks', and what is stuff."""
    lost: Counter[Loss] = Counter()
    for one in image.instances:
        outline = measure_outline(one.mask) if one.mask is not None else None
        if outline is not None:
            lost["masks with holes filled"] += outline.n_holes > 0
            if outline.n_pieces > 1:
                lost["masks in several pieces"] += 1
                lost["pieces written as objects of their own"] += outline.n_pieces
            lost["boxes beside masks left out"] += one.box not in (None, outline.box)
        elif one.box is None or (box := clip_box(one.box, image.size)) is None:
            lost["regions without area left out"] += 1
            continue
        else:
            lost["boxes written as their four corners"] += 1
            lost["boxes cut at the image's border"] += box != one.box
        lost["stuff written as things"] += one.kind == "stuff"
    return +lost


def write_detection(contents: Contents, folder: Path) -> tuple[Path, ...]:
    return _write(contents, folder, _box_rows)


def write_segments(contents: Contents, folder: Path) -> tuple[Path, ...]:
    return _write(contents, folder, _polygon_rows)


_WITHOUT_IMAGES = "places are shares of the images' sides: without these files nothing can read them again"

YOLO = Format(
    "yolo",
    image_path,
    detection_losses,
    write_detection,
    notes=notes,
    unsplit="train",
    read=read_yolo,
    without_images=_WITHOUT_IMAGES,
)
YOLO_SEGMENT = replace(YOLO, name="yolo-segment", losses=segment_losses, write=write_segments)


def _side(split: str) -> str:
    return split or "train"


def _write(
    contents: Contents, folder: Path, rows: Callable[[Instance, Size], Iterator[str]]
) -> tuple[Path, ...]:
    """Write a file for each image, and ``data.yaml``, in one pass over the images."""
    numbers = {cls.name: number for number, cls in enumerate(contents.classes)}
    sides = set()
    for image in contents.images():
        sides.add(_side(image.split))
        path = folder / "labels" / _side(image.split) / PurePosixPath(image.name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        check_new(path)
        with replacing(path) as file:
            for one in image.instances:
                file.writelines(f"{numbers[one.label]} {row}\n" for row in rows(one, image.size))
    data = folder / "data.yaml"
    write_whole(data, _encode_data(contents, sides))
    return (data, *(folder / "labels" / side for side in sorted(sides)))


def _encode_data(contents: Contents, sides: set[str]) -> str:
    """The text of ``data.yaml``: text in JSON's form is YAML too."""
    first = next((side for side in _SIDES if side in sides), min(sides, default="train"))
    named = dict.fromkeys(("train", "val"), first) | {side: side for side in sorted(sides)}
    paths = [f"{json.dumps(key)}: {json.dumps(f'images/{side}')}\n" for key, side in named.items()]
    names = [
        f"  {number}: {json.dumps(cls.name, ensure_ascii=False)}\n"
        for number, cls in enumerate(contents.classes)
    ]
    return "".join([*paths, "names:\n" if names else "names: {}\n", *names])


def _box_rows(instance: Instance, size: Size) -> Iterator[str]:
    box = clip_box(extent(instance), size)
    if instance.kind == "thing" and box is not None:
        x0, y0, x1, y1 = _shares(box, size)
        yield " ".join(map(share_text, ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)))


def _polygon_rows(instance: Instance, size: Size) -> Iterator[str]:
    if instance.mask is not None and mask_to_box(instance.mask) is not None:
        across, down = _texts(size.width), _texts(size.height)
        for ring in outer_rings(instance.mask):
            yield " ".join(f"{across[x]} {down[y]}" for x, y in ring.tolist())
    elif instance.box is not None and (box := clip_box(instance.box, size)) is not None:
        x0, y0, x1, y1 = map(share_text, _shares(box, size))
        yield f"{x0} {y0} {x1} {y0} {x1} {y1} {x0} {y1}"


def _shares(box: Box, size: Size) -> tuple[float, float, float, float]:
    return (box.x0 / size.width, box.y0 / size.height, box.x1 / size.width, box.y1 / size.height)


@lru_cache(maxsize=16)
def _texts(side: int) -> tuple[str, ...]:
    """The share of every place between pixels along a side."""
    return tuple(share_text(place / side) for place in range(side + 1))


def share_text(share: float) -> str:
    """A share to ten digits, which are a millionth of a pixel in 10,000, without an exponent."""
    return f"{share:.10f}".rstrip("0").rstrip(".")
