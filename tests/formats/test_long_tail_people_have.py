"""KITTI, Cityscapes, Open Images, ADE20K and Datumaro folders as others hand them out, whole and broken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detseg.errors import DatasetError, FormatError
from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents
from detseg.pipeline.formats import find_format
from detseg.types import Box, Size
from tests.formats.trips import picture

LONG_TAIL = ("kitti", "cityscapes", "open-images", "ade20k", "datumaro")


def _text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def _png(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)


def _read(name: str, folder: Path) -> tuple[list[ImageLabels], Mapping[str, int]]:
    read = find_format(name).read
    assert read is not None
    opened = read(folder)
    return list(opened.images()), {what: n for what, n in opened.left_out.items() if n}


GREY = np.zeros((20, 40), dtype=np.uint8)
CAR = "Car 0.00 0 -1.57 12.00 4.00 2.00 10.00 1.5 1.6 3.9 1.8 1.5 8.4 0.01"


def test_kitti_as_it_is_handed_out(tmp_path: Path) -> None:
    """Rows of 15 and 16 columns, what is not looked at, swapped corners, an image that nobody labeled."""
    for stem in ("000000", "000001"):
        _png(tmp_path / "training" / "image_2" / f"{stem}.png", GREY)
    dont_care = "DontCare -1 -1 -10 1 1 5 5 -1 -1 -1 -1000 -1000 -1000 -10"
    _text(tmp_path / "training" / "label_2" / "000000.txt", f"{CAR}\n\n{dont_care}\n{CAR} 0.7\n")
    (image,), left_out = _read("kitti", tmp_path)
    assert (image.name, image.split) == ("000000.png", "train")
    assert [one.box for one in image.instances] == [Box(2, 4, 12, 10)] * 2
    assert left_out == {"regions that are DontCare": 1, "images without labels": 1}


def test_kittis_masks_are_those_of_cityscapes(tmp_path: Path) -> None:
    """Cars are 26 * 256 plus their number, 26 * 256 alone is a group of them, 7 is road."""
    values = np.zeros((20, 40), dtype=np.uint16)
    values[:5], values[5:9], values[10:12] = 7 * 256, 26 * 256 + 3, 26 * 256
    _png(tmp_path / "training" / "instance" / "000000_10.png", values)
    (image,), left_out = _read("kitti", tmp_path)
    assert [(one.label, one.kind, one.mask.area if one.mask else 0) for one in image.instances] == [
        ("road", "stuff", 200),
        ("car", "thing", 160),
    ]
    assert left_out == {"groups of objects": 1}


def test_cityscapes_from_polygons_alone(tmp_path: Path) -> None:
    objects = [
        {"label": "road", "polygon": [[0, 0], [40, 0], [40, 20], [0, 20]]},
        {"label": "cargroup", "polygon": [[0, 0], [4, 0], [4, 4], [0, 4]]},
        {"label": "car", "polygon": [[10, 0], [20, 0], [20, 10], [10, 10]]},
    ]
    content = {"imgHeight": 20, "imgWidth": 40, "objects": objects}
    path = tmp_path / "gtFine" / "train" / "ulm" / "ulm_000000_000019_gtFine_polygons.json"
    _text(path, json.dumps(content))
    (image,), left_out = _read("cityscapes", tmp_path)
    assert image.name == "ulm_000000_000019_leftImg8bit.png"
    areas = {one.label: (one.kind, one.mask.area if one.mask else 0) for one in image.instances}
    assert areas == {"road": ("stuff", 800 - 100 - 16), "car": ("thing", 100)}
    assert left_out == {"groups of objects": 1}


def test_open_images_as_they_are_handed_out(tmp_path: Path) -> None:
    """Names that files have and people see, a mask of another size, groups, an image without boxes."""
    _text(tmp_path / "oidv6-class-descriptions.csv", "LabelName,DisplayName\n/m/0k4j,Car\n/m/01g317,Person\n")
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf\n"
    rows = "a,xclick,/m/0k4j,1,0.25,0.5,0,0.5,0,0,0\na,xclick,/m/01g317,1,0,1,0,1,0,0,1\n"
    _text(tmp_path / "oidv6-validation-annotations-bbox.csv", header + rows)
    masks = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"
    _text(
        tmp_path / "oidv6-validation-annotations-object-segmentation.csv",
        masks + "a_m0k4j_1.png,a,/m/0k4j,1,0.250000,0.500000,0.000000,0.500000,0.8,\n",
    )
    mask = np.zeros((40, 80), dtype=bool)
    mask[:20, 20:40] = True
    _png(tmp_path / "masks" / "validation" / "a_m0k4j_1.png", mask)
    labels = "ImageID,Source,LabelName,Confidence\nb,verification,/m/0k4j,1\n"
    _text(tmp_path / "oidv6-validation-annotations-human-imagelabels.csv", labels)
    _text(tmp_path / "validation-images-with-rotation.csv", "ImageID,Subset\nb,validation\n")
    _png(tmp_path / "images" / "validation" / "a.jpg", GREY)
    _png(tmp_path / "images" / "validation" / "b.jpg", GREY)
    images, left_out = _read("open-images", tmp_path)
    (image,) = images
    (car,) = image.instances
    assert (car.label, car.box, car.mask.area if car.mask else 0) == ("Car", Box(10, 0, 20, 10), 100)
    assert image.split == "val"
    assert left_out == {"groups of objects": 1, "images without boxes": 1}


def test_ade20k_of_2016(tmp_path: Path) -> None:
    """Blue's values in their order are the numbers of the objects; parts of objects are left out."""
    colours = np.zeros((20, 40, 3), dtype=np.uint8)
    colours[:10, :, 2], colours[10:, :20, 2] = 70, 200
    folder = tmp_path / "images" / "training" / "a" / "alley"
    _png(folder / "ADE_1.jpg", GREY)
    _png(folder / "ADE_1_seg.png", colours)
    rows = (
        '1 # 0 # 0 # sky # sky # ""\n2 # 0 # 1 # car, auto # car # "parked"\n3 # 1 # 0 # wheel # wheel # ""\n'
    )
    _text(folder / "ADE_1_atr.txt", rows)
    (image,), left_out = _read("ade20k", tmp_path)
    assert [(one.label, one.mask.area if one.mask else 0) for one in image.instances] == [
        ("sky", 400),
        ("car, auto", 200),
    ]
    assert (image.split, left_out) == ("train", {"parts of objects": 1})


def test_datumaro_of_other_tools(tmp_path: Path) -> None:
    """Polygons of one group are one object, points and crowds are left out, a missing size is read."""
    corners = ([0, 0, 10, 0, 10, 10, 0, 10], [20, 0, 30, 0, 30, 10, 20, 10])
    shapes = [{"type": "polygon", "label_id": 0, "group": 4, "points": ring} for ring in corners]
    shapes.append({"type": "points", "label_id": 0, "group": 0, "points": [1, 2]})
    crowd = {
        "type": "bbox",
        "label_id": 0,
        "group": 0,
        "bbox": [0, 0, 9, 9],
        "attributes": {"is_crowd": True},
    }
    item = {"id": "a", "annotations": [*shapes, crowd], "image": {"path": "a.png"}}
    labels = {"labels": [{"name": "bolt", "parent": "", "attributes": []}]}
    content = {"items": [item], "categories": {"label": labels}}
    _text(tmp_path / "annotations" / "val.json", json.dumps(content))
    _png(tmp_path / "images" / "val" / "a.png", GREY)
    (image,), left_out = _read("datumaro", tmp_path)
    (one,) = image.instances
    assert (image.split, image.size, one.mask.area if one.mask else 0) == ("val", Size(40, 20), 200)
    assert left_out == {"annotations of type points": 1, "crowds": 1}


@pytest.mark.parametrize(
    ("name", "path", "content", "problem"),
    [
        ("kitti", "training/label_2/a.txt", "Car 0 0 0 1 2 3 4", "line 1: 8 columns; expected 15"),
        ("kitti", "training/label_2/a.txt", CAR.replace("12.00", "left"), "line 1: expected a box in pixels"),
        ("kitti", "training/label_2/a.txt", CAR, "its size is unknown"),
        ("kitti", "label_colors.txt", "", "is no KITTI folder"),
        ("cityscapes", "gtFine/a.png", "", "is no Cityscapes folder"),
        (
            "cityscapes",
            "gtFine/t/c/a_gtFine_polygons.json",
            '{"imgWidth": 3}',
            "expected imgHeight, imgWidth",
        ),
        (
            "cityscapes",
            "gtFine/t/c/a_gtFine_instanceIds.png",
            "no",
            "is not an image of a format that is read",
        ),
        ("open-images", "a.csv", "", "is no Open Images folder"),
        ("open-images", "train-annotations-bbox.csv", "", "has no class-descriptions.csv"),
        ("ade20k", "a.txt", "", "is no ADE20K folder"),
        ("ade20k", "training/a.json", "{}", "expected annotation with a list under object"),
        ("ade20k", "training/a_atr.txt", "1 # 0 # sky", "line 1: expected six columns between #"),
        ("datumaro", "a.txt", "", "is no Datumaro folder"),
        ("datumaro", "annotations/a.json", '{"items": []}', "expected labels under categories"),
        ("datumaro", "annotations/a.json", "[]", "is not a Datumaro dataset"),
    ],
)
def test_what_is_wrong_is_one_line(name: str, path: str, content: str, problem: str, tmp_path: Path) -> None:
    _text(tmp_path / path, content)
    with pytest.raises(FormatError, match=problem) as error:
        _read(name, tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


POLYGONS = "gtFine/train/a/a_gtFine_polygons.json"
ITEMS = "annotations/a.json"
SHAPES = "train-annotations-bbox.csv"
MASKS = "train-annotations-object-segmentation.csv"
SIDES = "ImageID,LabelName,XMin,XMax,YMin,YMax\n"


def _polygons(objects: str, width: int = 40) -> str:
    return f'{{"imgWidth": {width}, "imgHeight": 20, "objects": {objects}}}'


def _item(annotations: str, size: str = "[20, 40]") -> str:
    labels = '{"label": {"labels": [{"name": "bolt"}]}}'
    image = f'{{"path": "a.png", "size": {size}}}'
    item = f'{{"id": "a", "image": {image}, "annotations": {annotations}}}'
    return f'{{"items": [{item}], "categories": {labels}}}'


def _ring(x: str) -> str:
    return f'[{{"label": "car", "polygon": [[0, 0], [{x}, 0], [5, 5]]}}]'


def _polygon(x: str) -> str:
    polygon = f'{{"x": [0, {x}, 9], "y": [0, 0, 9]}}'
    return f'{{"annotation": {{"object": [{{"name": "sky", "polygon": {polygon}}}]}}}}'


@pytest.mark.parametrize(
    ("name", "path", "content", "problem"),
    [
        ("cityscapes", POLYGONS, _polygons('["car"]'), "expected imgHeight, imgWidth"),
        ("cityscapes", POLYGONS, _polygons("[]", width=10**9), "an image has at most"),
        ("cityscapes", POLYGONS, _polygons(_ring("1" * 400)), "a place in an image is a number"),
        ("cityscapes", POLYGONS, _polygons(_ring("NaN")), "a place in an image is a number"),
        ("cityscapes", POLYGONS, _polygons(_ring("1e308")), "a place in an image is a number"),
        ("open-images", SHAPES, "ImageID\na\n", "expected a column LabelName beside"),
        ("open-images", MASKS, "ImageID,LabelName\na,c\n", "expected a column MaskPath beside"),
        ("open-images", SHAPES, f"{SIDES}a,c,-inf,inf,0,1\n", "expected a box as shares of the image"),
        ("open-images", SHAPES, f"{SIDES}a,c,0,1e308,0,1\n", "expected a box as shares of the image"),
        ("open-images", "images.meta", "a 100000000 100000000", "line 1: expected an image, its height"),
        ("open-images", "images.meta", "a 20", "line 1: expected an image, its height"),
        ("open-images", "class-descriptions.csv", "c," + "x" * 200_000, "is not CSV"),
        ("ade20k", "training/a.json", _polygon("1" * 400), "expected a mask's file or a polygon"),
        ("ade20k", "training/a.json", _polygon("Infinity"), "expected a mask's file or a polygon"),
        ("ade20k", "training/a_atr.txt", "9" * 5000 + ' # 0 # 0 # sky # sky # ""', "expected six columns"),
        ("datumaro", ITEMS, _item("5"), "expected a list of annotations, not 5"),
        (
            "datumaro",
            ITEMS,
            _item('[{"type": "bbox", "label_id": [0]}]'),
            r"label_id \[0\] is none of 1 labels",
        ),
        (
            "datumaro",
            ITEMS,
            _item('[{"type": "bbox", "label_id": 0, "bbox": [1e308, 0, 1e308, 5]}]'),
            "finite corners",
        ),
        (
            "datumaro",
            ITEMS,
            _item('[{"type": "mask", "label_id": 0, "rle": [[0, 0, 5, 0, 5, 5]]}]'),
            "expected run lengths as rle",
        ),
        ("datumaro", ITEMS, _item("[]", size=f"[1, {10**30}]"), "its size is unknown"),
    ],
)
def test_values_that_would_break_a_program_are_one_line(
    name: str, path: str, content: str, problem: str, tmp_path: Path
) -> None:
    if name == "open-images":
        _text(tmp_path / "class-descriptions.csv", "c,Car\n")
        _text(tmp_path / SHAPES, f"{SIDES}a,c,0,1,0,1\n")
    if name == "open-images" and path != "images.meta":
        _text(tmp_path / "images.meta", "a 20 40\n")
    if path.startswith("training/"):
        _png(tmp_path / "training" / "a.jpg", GREY)
        _png(tmp_path / "training" / "a_seg.png", np.zeros((20, 40, 3), dtype=np.uint8))
    _text(tmp_path / path, content)
    with pytest.raises(FormatError, match=problem):
        _read(name, tmp_path)


def test_what_datumaro_does_not_say_as_it_should_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    box = '"type": "bbox", "label_id": 0, "bbox": [0, 0, 5, 5]'
    odd = f'{{{box}, "group": [1]}}, {{{box}, "attributes": [1]}}, {{"type": ["bbox"]}}'
    _text(tmp_path / ITEMS, _item(f"[{odd}]"))
    (image,), left_out = _read("datumaro", tmp_path)
    assert [one.box for one in image.instances] == [Box(0, 0, 5, 5)] * 2
    assert left_out == {"annotations of type ['bbox']": 1}


def test_open_images_refuses_a_name_that_its_lines_cannot_hold(tmp_path: Path) -> None:
    image = ImageLabels("a\nb.jpg", Size(4, 3))
    contents = Contents((), lambda: [image], lambda _: None)
    with pytest.raises(DatasetError, match=r"no place: give it another name"):
        find_format("open-images").write(contents, tmp_path)


def test_open_images_splits_with_dashes_stay_apart(tmp_path: Path) -> None:
    images = [ImageLabels(f"{split}.png", Size(4, 4), (), split) for split in ("a-1", "b-1", "my-train")]
    format_ = find_format("open-images")
    format_.write(Contents((), lambda: iter(images), picture), tmp_path)
    assert {image.split for image in _read("open-images", tmp_path)[0]} == {"a-1", "b-1", "my-train"}


def test_cityscapes_without_folders_has_no_split_and_a_class_named_twice_is_one(tmp_path: Path) -> None:
    _text(tmp_path / "gtFine" / "a_gtFine_polygons.json", _polygons("[]"))
    _text(tmp_path / "label_colors.txt", "0 0 0 background\n1 1 1 car\n2 2 2 car\n")
    read = find_format("cityscapes").read
    assert read is not None
    opened = read(tmp_path)
    assert ([one.split for one in opened.images()], [cls.name for cls in opened.classes]) == ([""], ["car"])


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("kitti", "steel bolt"),
        ("kitti", "DontCare"),
        ("cityscapes", "background"),
        ("cityscapes", "cargroup"),
    ],
)
def test_labels_that_cannot_be_spelled(name: str, label: str) -> None:
    assert find_format(name).label_problem(label)


def test_equal_names_are_refused(tmp_path: Path) -> None:
    """Images that a format would know by one name: their endings alone differ."""
    twins = [ImageLabels(name, Size(4, 4)) for name in ("a.png", "a.jpg")]
    for name in LONG_TAIL:
        folder = tmp_path / name
        folder.mkdir()
        with pytest.raises(
            DatasetError, match=r"two images would be called a: give one of them another name"
        ):
            find_format(name).write(Contents((), lambda: iter(twins), picture), folder)
