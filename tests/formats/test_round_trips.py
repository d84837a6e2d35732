"""Written and read again: what a format holds is equal, and the rest differs as was said."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image
from scipy import ndimage

from detseg.formats import ImageLabels
from detseg.formats.coco_dataset import COCO
from detseg.formats.coco_panoptic_dataset import COCO_PANOPTIC
from detseg.formats.dataset import Contents, Format, Opened
from detseg.formats.hf import HF, HF_IMAGEFOLDER
from detseg.formats.voc import VOC
from detseg.formats.yolo import YOLO, YOLO_SEGMENT
from detseg.geometry.extent import extent
from detseg.geometry.masks import mask_to_bitmap
from detseg.labelstudio.tasks_file import LABEL_STUDIO
from detseg.types import Instance
from tests.formats.made import CLASSES, datasets

EXAMPLES = settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def write_and_read(format_: Format, images: Sequence[ImageLabels], folder: Path) -> Opened:
    assert format_.read is not None
    for image in images if format_.image_path is not None else ():
        path = folder / format_.image_path(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(image))
    format_.write(Contents(CLASSES, lambda: iter(images), picture), folder)
    return format_.read(folder)


def picture(image: ImageLabels) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (image.size.width, image.size.height), (len(image.instances), 7, 9)).save(written, "PNG")
    return written.getvalue()


def by_name(opened: Opened) -> Mapping[str, ImageLabels]:
    return {image.name: image for image in opened.images()}


def check_image(read: ImageLabels, written: ImageLabels, split: str) -> None:
    assert (read.size, read.split) == (written.size, split)
    if ".parquet#" not in read.uri:
        assert Path(read.uri).name == written.name
        assert Path(read.uri).is_file()


def is_close(read: Instance, written: Instance, atol: float) -> bool:
    return bool(np.allclose(extent(read).xyxy, extent(written).xyxy, atol=atol, rtol=0))


@pytest.mark.parametrize("format_", [COCO, HF, HF_IMAGEFOLDER, LABEL_STUDIO], ids=lambda one: one.name)
@EXAMPLES
@given(images=datasets())
def test_lossless_formats_are_what_they_were(
    format_: Format, images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory
) -> None:
    opened = write_and_read(format_, images, tmp_path_factory.mktemp("lossless"))
    kinds = {cls.name: cls.kind for cls in CLASSES}
    if format_ is HF_IMAGEFOLDER:  # whose files name what is there alone
        kinds = {label: kinds[label] for image in images for label in labels_of(image)}
    assert {cls.name: cls.kind for cls in opened.classes} == kinds
    if format_ in (COCO, HF):
        assert [cls.name for cls in opened.classes] == list(kinds)
    assert format_.losses is None or not any(map(format_.losses, images))
    read = by_name(opened)
    for image in images:
        found = read[image.name]
        has_splits = format_ in (COCO, LABEL_STUDIO)
        check_image(found, image, image.split if has_splits else image.split or "train")
        assert opened.read is None or opened.read(found) == picture(image)
        for ours, theirs in zip(in_order(image), in_order(found), strict=True):
            assert (theirs.label, theirs.kind, theirs.mask) == (ours.label, ours.kind, ours.mask)
            assert is_close(theirs, ours, 1e-6)
    assert not +Counter(opened.left_out)


def labels_of(image: ImageLabels) -> list[str]:
    return [one.label for one in image.instances]


def in_order(image: ImageLabels) -> list[Instance]:
    """Label Studio has masks before boxes."""
    return sorted(
        image.instances, key=lambda one: (one.label, repr(one.mask), *np.round(extent(one).xyxy, 6))
    )


@EXAMPLES
@given(images=datasets())
def test_panoptic_keeps_what_is_visible(
    images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory
) -> None:
    opened = write_and_read(COCO_PANOPTIC, images, tmp_path_factory.mktemp("panoptic"))
    assert [(cls.name, cls.kind) for cls in opened.classes] == [(cls.name, cls.kind) for cls in CLASSES]
    read = by_name(opened)
    for image in images:
        check_image(read[image.name], image, image.split)
        free = np.ones((image.size.height, image.size.width), dtype=bool)
        left = list(read[image.name].instances)
        for one in image.instances:
            visible = mask_to_bitmap(one.mask) & free if one.mask is not None else np.zeros_like(free)
            free &= ~visible
            if visible.any():
                found = left.pop(0)
                assert (found.label, found.kind, found.box) == (one.label, one.kind, None)
                assert found.mask is not None
                assert (mask_to_bitmap(found.mask) == visible).all()
        assert not left


@EXAMPLES
@given(images=datasets())
def test_yolo_keeps_the_boxes_of_things(
    images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory
) -> None:
    opened = write_and_read(YOLO, images, tmp_path_factory.mktemp("yolo"))
    assert [cls.name for cls in opened.classes] == [cls.name for cls in CLASSES]
    read = by_name(opened)
    for image in images:
        check_image(read[image.name], image, image.split or "train")
        things = [one for one in image.instances if one.kind == "thing"]
        for ours, theirs in zip(things, read[image.name].instances, strict=True):
            assert (theirs.label, theirs.mask) == (ours.label, None)
            assert is_close(theirs, ours, 1e-3)


@EXAMPLES
@given(images=datasets())
def test_yolo_segment_keeps_pieces_without_holes(
    images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory
) -> None:
    opened = write_and_read(YOLO_SEGMENT, images, tmp_path_factory.mktemp("yolo"))
    read = by_name(opened)
    for image in images:
        check_image(read[image.name], image, image.split or "train")
        left = list(read[image.name].instances)
        for one in image.instances:
            bitmap = mask_to_bitmap(one.mask) if one.mask is not None else None
            n_pieces = 1 if bitmap is None else int(ndimage.label(bitmap, np.ones((3, 3)))[1])
            mine, left = left[:n_pieces], left[n_pieces:]
            assert {part.label for part in mine} == {one.label}
            if bitmap is None:
                assert is_close(mine[0], one, 0.501)  # to the pixels whose centres it has
            else:
                pieces = [mask_to_bitmap(part.mask) for part in mine if part.mask is not None]
                assert (np.any(pieces, axis=0) == ndimage.binary_fill_holes(bitmap)).all()
        assert not left


@EXAMPLES
@given(images=datasets())
def test_voc_keeps_what_is_visible(
    images: list[ImageLabels], tmp_path_factory: pytest.TempPathFactory
) -> None:
    opened = write_and_read(VOC, images, tmp_path_factory.mktemp("voc"))
    assert [cls.name for cls in opened.classes] == [cls.name for cls in CLASSES]
    read = by_name(opened)
    for image in images:
        check_image(read[image.name], image, image.split)
        free = np.ones((image.size.height, image.size.width), dtype=bool)
        surface = np.zeros_like(free)
        things = [one for one in read[image.name].instances if one.kind == "thing"]
        for one in image.instances:
            visible = mask_to_bitmap(one.mask) & free if one.mask is not None else np.zeros_like(free)
            free &= ~visible
            if one.kind == "stuff":
                surface |= visible
                continue
            found = things.pop(0)
            assert found.label == one.label
            assert found.box is not None
            assert np.allclose(found.box.xyxy, extent(one).xyxy, atol=0.5, rtol=0)
            assert (found.mask is not None) == visible.any()
            assert found.mask is None or (mask_to_bitmap(found.mask) == visible).all()
        assert not things
        stuff = [one for one in read[image.name].instances if one.kind == "stuff"]
        assert [one.label for one in stuff] == ["belt"] * bool(surface.any())
        for one in stuff:
            assert one.mask is not None
            assert (mask_to_bitmap(one.mask) == surface).all()
