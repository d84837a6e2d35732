"""Round trips: what a dataset is after it was written and read, and what it lost on the way.

Each check compares an image that was read with the one that was written, by bitmaps and scipy, and returns
the losses that it saw; they are to be those that the format announces.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format, Loss, Opened
from detseg.geometry.masks import mask_to_bitmap
from detseg.types import Box, Instance
from tests.formats.made import CLASSES

Bitmap = npt.NDArray[np.bool_]
Seen = Counter[Loss]


def picture(image: ImageLabels) -> bytes:
    """An image of its size, in a colour that depends on it."""
    written = io.BytesIO()
    Image.new("RGB", (image.size.width, image.size.height), (len(image.instances), 7, 9)).save(written, "PNG")
    return written.getvalue()


def write_and_read(format_: Format, images: Iterable[ImageLabels], folder: Path) -> Opened:
    """Write images with their files, and open the folder."""
    assert format_.read is not None
    images = respelled(format_, images)
    folder.mkdir(exist_ok=True)
    for image in images if format_.image_path is not None else ():
        path = folder / format_.image_path(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(image))
    classes = tuple(replace(cls, name=respell(format_, cls.name)) for cls in CLASSES)
    format_.write(Contents(classes, lambda: iter(images), picture), folder)
    return format_.read(folder)


def respell(format_: Format, label: str) -> str:
    """The label as people rename it whose format has no spaces."""
    return label if format_.label_problem(label) is None else label.replace(" ", "_")


def respelled(format_: Format, images: Iterable[ImageLabels]) -> list[ImageLabels]:
    """The images with labels that the format can spell."""
    return [
        replace(
            image,
            instances=tuple(replace(one, label=respell(format_, one.label)) for one in image.instances),
        )
        for image in images
    ]


def check_trip(format_: Format, images: Iterable[ImageLabels], folder: Path) -> Seen:
    """Write and read images, compare each, and return all losses, which are those that are announced."""
    opened = write_and_read(format_, images, folder)
    read = {image.name: image for image in opened.images()}
    assert not +Counter(opened.left_out)
    total: Seen = Counter()
    for image in respelled(format_, images):
        found = read.pop(_name(format_, image))
        assert (found.size, found.split) == (image.size, image.split or _WITHOUT_SPLIT.get(format_.name, ""))
        if opened.read is not None:
            assert opened.read(found) == picture(image)
        else:
            assert Path(found.uri).read_bytes() == picture(image)
        seen = CHECKS[format_.name](image, found)
        assert seen == (format_.losses(image) if format_.losses is not None else {}), image.name
        total += seen
    assert not read
    return total


_WITHOUT_SPLIT = dict.fromkeys(
    (
        *("yolo", "yolo-segment", "hf", "hf-imagefolder"),
        *("kitti", "cityscapes", "open-images", "ade20k"),
    ),
    "train",
)


def _name(format_: Format, image: ImageLabels) -> str:
    """The name of an image's file when it is read again."""
    is_renamed = format_.name == "cityscapes" and format_.image_path is not None
    return Path(format_.image_path(image)).name if is_renamed and format_.image_path else image.name


def _bitmap(one: Instance) -> Bitmap | None:
    return mask_to_bitmap(one.mask) if one.mask is not None else None


def _tight(bitmap: Bitmap) -> Box:
    y, x = np.nonzero(bitmap)
    return Box(float(x.min()), float(y.min()), float(x.max()) + 1, float(y.max()) + 1)


def _extent(one: Instance) -> Box:
    bitmap = _bitmap(one)
    if one.box is not None:
        return one.box
    assert bitmap is not None
    return _tight(bitmap)


def _same_box(one: Box | None, other: Box, atol: float) -> None:
    assert one is not None
    np.testing.assert_allclose(one.xyxy, other.xyxy, atol=atol, rtol=0)


def _same_mask(one: Instance, bitmap: Bitmap) -> None:
    found = _bitmap(one)
    assert found is not None
    assert (found == bitmap).all()


def check_lossless(written: ImageLabels, read: ImageLabels) -> Seen:
    """Labels, kinds, masks and boxes are equal. What has a mask alone may come with its tight box."""
    for ours, theirs in zip(_in_order(written), _in_order(read), strict=True):
        assert (theirs.label, theirs.kind, theirs.mask) == (ours.label, ours.kind, ours.mask)
        _same_box(_extent(theirs), _extent(ours), 1e-6)
    return Counter()


def _in_order(image: ImageLabels) -> list[Instance]:
    """Instances in an order of their own: Label Studio has masks before boxes."""
    return sorted(
        image.instances, key=lambda one: (one.label, repr(one.mask), *np.round(_extent(one).xyxy, 6))
    )


def _visible(image: ImageLabels, seen: Seen, *, boxes: bool = False) -> list[Bitmap]:
    """The pixels of each instance that no earlier one covers; counts what overlaps lose.

    With ``boxes``, a thing that is hidden still has its own.
    """
    free = np.ones((image.size.height, image.size.width), dtype=bool)
    found = []
    for one in image.instances:
        bitmap = _bitmap(one)
        visible = bitmap & free if bitmap is not None else np.zeros_like(free)
        if bitmap is not None and (bitmap & ~free).any():
            kind: Loss = "masks cut where others cover them"
            if not visible.any():
                keeps_box = boxes and one.kind == "thing"
                kind = f"{'masks' if keeps_box else 'regions'} hidden by others left out"  # type: ignore[assignment]
            seen[kind] += 1
        free &= ~visible
        found.append(visible)
    return found


def check_panoptic(written: ImageLabels, read: ImageLabels) -> Seen:
    """Visible pixels are equal, in order."""
    seen: Seen = Counter()
    left = list(read.instances)
    for one, visible in zip(written.instances, _visible(written, seen), strict=True):
        bitmap = _bitmap(one)
        if bitmap is None:
            seen["regions without a mask left out"] += 1
            continue
        seen["boxes beside masks left out"] += one.box is not None and one.box != _tight(bitmap)
        if visible.any():
            found = left.pop(0)
            assert (found.label, found.kind, found.box) == (one.label, one.kind, None)
            _same_mask(found, visible)
    assert not left
    return +seen


def check_yolo(written: ImageLabels, read: ImageLabels) -> Seen:
    """The boxes of things are equal to a thousandth of a pixel."""
    seen: Seen = Counter()
    left = list(read.instances)
    for one in written.instances:
        if one.kind == "stuff":
            seen["stuff left out"] += 1
            continue
        seen["masks left out"] += one.mask is not None
        found = left.pop(0)
        assert (found.label, found.mask) == (one.label, None)
        _same_box(found.box, _extent(one), 1e-3)
    assert not left
    return +seen


def check_yolo_segments(written: ImageLabels, read: ImageLabels) -> Seen:
    """Every piece is there with its holes filled; a box is its corners, to the pixels that it has."""
    seen: Seen = Counter()
    left = list(read.instances)
    for one in written.instances:
        bitmap = _bitmap(one)
        n_pieces = int(ndimage.label(bitmap, np.ones((3, 3)))[1]) if bitmap is not None else 1
        mine, left = left[:n_pieces], left[n_pieces:]
        assert {part.label for part in mine} == {one.label}
        seen["stuff written as things"] += one.kind == "stuff"
        if bitmap is None:
            seen["boxes written as their four corners"] += 1
            _same_box(_extent(mine[0]), _extent(one), 0.501)
            continue
        filled = ndimage.binary_fill_holes(bitmap)
        parts = [part for piece in mine if (part := _bitmap(piece)) is not None]
        assert (np.any(parts, axis=0) == filled).all()
        seen["masks with holes filled"] += bool((filled != bitmap).any())
        seen["boxes beside masks left out"] += one.box is not None and one.box != _tight(bitmap)
        if n_pieces > 1:
            seen["masks in several pieces"] += 1
            seen["pieces written as objects of their own"] += n_pieces
    assert not left
    return +seen


def check_voc(written: ImageLabels, read: ImageLabels) -> Seen:
    """Things are there with whole boxes and visible pixels, stuff with the pixels of its class."""
    return _check_layers(written, read, atol=0.5, whole=True)


def _check_layers(written: ImageLabels, read: ImageLabels, *, atol: float, whole: bool) -> Seen:
    seen: Seen = Counter()
    things = [one for one in read.instances if one.kind == "thing"]
    surfaces: dict[str, Bitmap] = {}
    n_stuff: Counter[str] = Counter()
    for one, visible in zip(written.instances, _visible(written, seen, boxes=True), strict=True):
        if one.kind == "stuff":
            surfaces[one.label] = surfaces.get(one.label, np.zeros_like(visible)) | visible
            n_stuff[one.label] += 1
            continue
        found, box = things.pop(0), _extent(one)
        assert found.label == one.label
        _same_box(found.box, box, atol)
        seen["boxes moved to whole pixels"] += whole and any(edge % 1 for edge in box.xyxy)
        assert (found.mask is not None) == visible.any()
        if found.mask is not None:
            _same_mask(found, visible)
    assert not things
    stuff = {one.label: one for one in read.instances if one.kind == "stuff"}
    assert stuff.keys() == {label for label, surface in surfaces.items() if surface.any()}
    for label, one in stuff.items():
        _same_mask(one, surfaces[label])
    seen["stuff regions joined with others of their class"] += n_stuff.total() - len(n_stuff)
    return +seen


def check_kitti(written: ImageLabels, read: ImageLabels) -> Seen:
    """Things are there with their boxes and visible pixels, stuff with the pixels of its class."""
    return _check_layers(written, read, atol=1e-5, whole=False)


def check_cityscapes(written: ImageLabels, read: ImageLabels) -> Seen:
    """Visible pixels are equal: of things one by one, in order within their class, of stuff by class."""
    seen: Seen = Counter()
    left = list(read.instances)
    surfaces: dict[str, Bitmap] = {}
    n_stuff: Counter[str] = Counter()
    for one, visible in zip(written.instances, _visible(written, seen), strict=True):
        bitmap = _bitmap(one)
        if bitmap is None:
            seen["regions without a mask left out"] += 1
            continue
        seen["boxes beside masks left out"] += one.box is not None and one.box != _tight(bitmap)
        if one.kind == "stuff":
            n_stuff[one.label] += 1
            surfaces[one.label] = surfaces.get(one.label, np.zeros_like(visible)) | visible
        elif visible.any():
            found = next(other for other in left if (other.label, other.kind) == (one.label, "thing"))
            left.remove(found)
            _same_mask(found, visible)
    assert {one.label for one in left} == {label for label, seen_of in surfaces.items() if seen_of.any()}
    for found in left:
        assert found.kind == "stuff"
        _same_mask(found, surfaces[found.label])
    seen["stuff regions joined with others of their class"] += n_stuff.total() - len(n_stuff)
    return +seen


def check_open_images(written: ImageLabels, read: ImageLabels) -> Seen:
    """All are things with boxes, equal to a thousandth of a pixel, and with their masks."""
    seen: Seen = Counter()
    for one, found in zip(written.instances, read.instances, strict=True):
        assert (found.label, found.kind, found.mask) == (one.label, "thing", one.mask)
        _same_box(found.box, _extent(one), 1e-3)
        seen["stuff written as things"] += one.kind == "stuff"
    return +seen


def check_ade20k(written: ImageLabels, read: ImageLabels) -> Seen:
    """Every mask is there, in order, as a thing."""
    seen: Seen = Counter()
    left = list(read.instances)
    for one in written.instances:
        bitmap = _bitmap(one)
        if bitmap is None:
            seen["regions without a mask left out"] += 1
            continue
        found = left.pop(0)
        assert (found.label, found.kind, found.box, found.mask) == (one.label, "thing", None, one.mask)
        seen["boxes beside masks left out"] += one.box is not None and one.box != _tight(bitmap)
        seen["stuff written as things"] += one.kind == "stuff"
    assert not left
    return +seen


CHECKS: Mapping[str, Callable[[ImageLabels, ImageLabels], Seen]] = {
    "coco": check_lossless,
    "coco-panoptic": check_panoptic,
    "yolo": check_yolo,
    "yolo-segment": check_yolo_segments,
    "voc": check_voc,
    "hf": check_lossless,
    "hf-imagefolder": check_lossless,
    "label-studio": check_lossless,
    "kitti": check_kitti,
    "cityscapes": check_cityscapes,
    "open-images": check_open_images,
    "ade20k": check_ade20k,
    "datumaro": check_lossless,
}
