"""Pascal VOC, as the devkit lays it out: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/.

``Annotations/<stem>.xml`` has the things with their boxes, which are whole pixels counted from 1, both
corners within. ``SegmentationClass/<stem>.png`` has the number of a class at each pixel,
``SegmentationObject`` the place of a thing in the XML; 0 is background, 255 is not known. ``ImageSets/Main``
and ``Segmentation`` list the images of each split. ``labelmap.txt`` names the numbers of the classes, as CVAT
and datumaro write it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from detseg.files import replacing, write_whole
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents, Format, Loss, check_new, controls_problem
from detseg.formats.layers import (
    box_and_map_losses,
    check_count,
    has_masks,
    number_pixels,
    things_with_area,
    write_numbers,
)
from detseg.formats.voc_files import VOID, read_voc
from detseg.taxonomy import LabelClass
from detseg.types import Box, Instance

Bytes = npt.NDArray[np.uint8]

_MOST = VOID - 1
_BACKGROUND = "background"


def image_path(image: ImageLabels) -> str:
    return f"JPEGImages/{image.name}"


def label_problem(label: str) -> str | None:
    """The problem of a label that VOC's programs make file names of, or that ``labelmap.txt`` cannot name."""
    if set("/\\:") & set(label) or label.startswith("#") or label != label.strip():
        return "where /, \\, :, a # at its beginning and spaces around it mean something else"
    return "which is the name of no class" if label == _BACKGROUND else controls_problem(label)


def losses(image: ImageLabels) -> Mapping[Loss, int]:
    """Parts of pixels, overlaps, and which regions stuff is of."""
    lost = box_and_map_losses(image)
    things = things_with_area(image)
    lost["boxes moved to whole pixels"] += sum(_whole(box) != box for _, _, box in things)
    _check_number(len(things), f"objects in {image.name}", shown=has_masks(image))
    return +lost


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write an XML file for each image, and two PNGs where it has masks, in one pass over the images.

    In a dataset with masks, images without objects have PNGs of background. Raises DatasetError for masks of
    more classes, or objects, than a PNG has numbers.
    """
    writer = _Writer(contents.classes, folder)
    for image in contents.images():
        writer.add(image)
    writer.close()
    folders = ("Annotations", "ImageSets", *(("SegmentationClass", "SegmentationObject") * writer.has_masks))
    return (*(folder / name for name in folders), folder / "labelmap.txt")


VOC = Format("voc", image_path, losses, write, label_problem, read=read_voc, unsplit="trainval")


class _Writer:
    """A VOC folder in the making. ``empty`` are the images without objects that have no PNGs yet."""

    def __init__(self, classes: Sequence[LabelClass], folder: Path) -> None:
        self._classes, self._folder = classes, folder
        self._numbers = {cls.name: number for number, cls in enumerate(classes, 1)}
        self._main: defaultdict[str, list[str]] = defaultdict(list)
        self._segmented: defaultdict[str, list[str]] = defaultdict(list)
        self._empty: list[ImageLabels] = []
        self.has_masks = False
        for name in ("Annotations", "ImageSets", "ImageSets/Main"):
            (folder / name).mkdir(exist_ok=True)

    def add(self, image: ImageLabels) -> None:
        stem = PurePosixPath(image.name).stem
        path = self._folder / "Annotations" / f"{stem}.xml"
        check_new(path)
        with replacing(path) as file:
            file.write(_encode_annotation(image))
        self._main[image.split].append(stem)
        if has_masks(image):
            _check_number(len(self._classes), "classes", shown=True)
            self._write_maps(image)
        elif not image.instances:
            self._empty.append(image)

    def close(self) -> None:
        for image in self._empty if self.has_masks else ():
            self._write_maps(image)
        self._write_lists("Main", self._main)
        if self.has_masks:
            self._write_lists("Segmentation", self._segmented)
        names = [_BACKGROUND, *(cls.name for cls in self._classes)]
        lines = [f"{name}:{','.join(map(str, voc_colour(n)))}::" for n, name in enumerate(names)]
        write_whole(self._folder / "labelmap.txt", "\n".join(("# label:color_rgb:parts:actions", *lines, "")))

    def _write_maps(self, image: ImageLabels) -> None:
        self.has_masks = True
        stem = PurePosixPath(image.name).stem
        self._segmented[image.split].append(stem)
        for name, pixels in zip(("Class", "Object"), _maps(image, self._numbers), strict=True):
            write_numbers(self._folder / f"Segmentation{name}" / f"{stem}.png", pixels, _PALETTE)

    def _write_lists(self, folder: str, stems: Mapping[str, Sequence[str]]) -> None:
        """A list for each split; ``trainval`` has train, val and what has no split."""
        lists = {split: list(names) for split, names in stems.items() if split}
        if both := [*stems.get("train", ()), *stems.get("val", ()), *stems.get("", ())]:
            lists["trainval"] = sorted({*both, *lists.get("trainval", ())})
        (self._folder / "ImageSets" / folder).mkdir(exist_ok=True)
        for split, names in lists.items():
            write_whole(
                self._folder / "ImageSets" / folder / f"{split}.txt", "".join(f"{name}\n" for name in names)
            )


def voc_colour(number: int) -> tuple[int, int, int]:
    """The colour of a number in VOC's palette.

    >>> voc_colour(1), voc_colour(255)
    ((128, 0, 0), (224, 224, 192))
    """
    parts = (sum((number >> (3 * bit + part) & 1) << (7 - bit) for bit in range(8)) for part in range(3))
    red, green, blue = parts
    return red, green, blue


_PALETTE = [part for number in range(256) for part in voc_colour(number)]


def _check_number(n: int, what: str, *, shown: bool) -> None:
    if shown:
        check_count("voc", n, what, _MOST)


def _whole(box: Box) -> Box:
    """The box at the nearest whole pixels, at least one of them."""
    x0, y0, x1, y1 = (math.floor(edge + 0.5) for edge in box.xyxy)
    x0, y0 = min(x0, math.ceil(box.x1) - 1), min(y0, math.ceil(box.y1) - 1)
    return Box(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))


def _encode_annotation(image: ImageLabels) -> str:
    root = ElementTree.Element("annotation")
    _add_texts(root, {"folder": "JPEGImages", "filename": image.name})
    _add_texts(ElementTree.SubElement(root, "source"), {"database": "detseg"})
    size = {"width": image.size.width, "height": image.size.height, "depth": 3}
    _add_texts(ElementTree.SubElement(root, "size"), size)
    _add_texts(root, {"segmented": int(has_masks(image))})
    for _, one, box in things_with_area(image):
        found = ElementTree.SubElement(root, "object")
        _add_texts(found, {"name": one.label, "pose": "Unspecified", "truncated": 0, "difficult": 0})
        x0, y0, x1, y1 = (int(edge) for edge in _whole(box).xyxy)
        corners = {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1}
        _add_texts(ElementTree.SubElement(found, "bndbox"), corners)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_texts(parent: ElementTree.Element, texts: Mapping[str, str | int]) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def _maps(image: ImageLabels, numbers: Mapping[str, int]) -> tuple[Bytes, Bytes]:
    """Numbers of classes and of objects, (H, W) each; void where the box of a thing without a mask is."""
    things = things_with_area(image)
    objects = [0] * len(image.instances)
    for number, (place, _, _) in enumerate(things, 1):
        objects[place] = number
    classes = [
        numbers[one.label] if one.kind == "stuff" or objects[place] else 0
        for place, one in enumerate(image.instances)
    ]
    found = number_pixels(image, classes, objects)
    free = found[0] == 0
    for x0, y0, x1, y1 in _boxes_without_mask(one for _, one, _ in things):
        window = np.s_[max(0, math.floor(y0)) : math.ceil(y1), max(0, math.floor(x0)) : math.ceil(x1)]
        for pixels in found:
            pixels[window][free[window]] = VOID
    return found[0].astype(np.uint8), found[1].astype(np.uint8)


def _boxes_without_mask(things: Iterable[Instance]) -> Iterator[tuple[float, float, float, float]]:
    return (one.box.xyxy for one in things if one.mask is None and one.box is not None)
