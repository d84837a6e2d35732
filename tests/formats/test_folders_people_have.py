"""YOLO, VOC and COCO folders as other tools write them, whole and broken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detseg.errors import FormatError
from detseg.formats import ImageLabels
from detseg.formats.coco_files import read_coco_files
from detseg.formats.voc_files import read_voc
from detseg.formats.yolo_files import read_yolo
from detseg.pipeline.formats import find_format
from detseg.types import Box, Size

SIZE = Size(40, 20)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIZE.width, SIZE.height)).save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def boxes(image: ImageLabels) -> list[Box | None]:
    return [one.box for one in image.instances]


# ---- YOLO ----


def test_yolo_with_boxes_and_polygons_in_one_file(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "train" / "a b.png")
    text(tmp_path / "data.yaml", "train: images/train\nval: images/train\nnames: [bolt, 7]\n")
    rows = ("0 0.5 0.5 0.5 0.5", "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75", "", "1 0.1 0.1 0.2 0.2 0.9")
    more = ("0 0 0 0.5 0 0.5 0.5 0.25 0.5 0 0.5", "0 0.5 0.5 0 0.2")
    text(tmp_path / "labels" / "train" / "a b.txt", "\n".join((*rows, *more)))
    opened = read_yolo(tmp_path)
    (image,) = opened.images()
    assert [cls.name for cls in opened.classes] == ["bolt", "7"]
    assert (image.name, image.split, image.size) == ("a b.png", "train", SIZE)
    assert [one.label for one in image.instances] == ["bolt", "7", "7", "bolt"]
    assert boxes(image) == [Box(10, 5, 30, 15), None, Box(0, 0, 8, 4), None]
    areas = [one.mask.area if one.mask else 0 for one in image.instances]
    assert areas == [0, 200, 0, 200]
    assert opened.left_out == {"regions without area": 1}


@pytest.mark.parametrize("sides", [("train", "valid"), ()])
def test_yolo_without_data_yaml(sides: tuple[str, ...], tmp_path: Path) -> None:
    for side in sides or (".",):
        picture(tmp_path / "images" / side / "a.png")
        picture(tmp_path / "images" / side / "nobody looked.png")
        text(tmp_path / "labels" / side / "a.txt", "3 0.5 0.5 1 1\n")
    opened = read_yolo(tmp_path)
    assert [cls.name for cls in opened.classes] == ["0", "1", "2", "3"]
    assert [(image.name, image.split) for image in opened.images()] == [
        ("a.png", side) for side in sides or ("",)
    ]
    assert opened.left_out == {"images without a file of labels": len(sides) or 1}


def test_yolo_data_yaml_of_roboflow_and_moved_folders(tmp_path: Path) -> None:
    for side in ("train", "valid"):
        picture(tmp_path / side / "images" / f"{side}.png")
        text(tmp_path / side / "labels" / f"{side}.txt", "")
    text(
        tmp_path / "data.yaml",
        "path: /somewhere/else\ntrain: ../train/images\nval: [valid/images]\ntest:\nnames: {0: bolt}\n",
    )
    opened = read_yolo(tmp_path / "data.yaml")
    assert [(image.name, image.split) for image in opened.images()] == [
        ("train.png", "train"),
        ("valid.png", "val"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2 0.5 0.5 0.1 0.1", r"a\.txt, line 2: class 2 is out of range: there are 2, from 0"),
        ("-1 0.5 0.5 0.1 0.1", "class -1 is out of range"),
        ("0.5 0.5 0.5 0.1 0.1", "expected the number of a class, not 0.5"),
        ("nan 0.5 0.5 0.1 0.1", "expected the number of a class, not nan"),
        ("bolt 0.5 0.5 0.1 0.1", "expected numbers"),
        ("0 0.5 0.5 0.1", "4 columns"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "8 columns"),
        ("0 12 8 4 4", "expected shares of the image, from 0 to 1"),
        ("0 nan 0.5 0.1 0.1", "expected shares of the image"),
    ],
)
def test_yolo_rows_that_are_wrong_are_named(row: str, said: str, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    text(tmp_path / "data.yaml", "train: images\nnames: [bolt, nut]\n")
    text(tmp_path / "labels" / "a.txt", f"0 0.5 0.5 0.1 0.1\n{row}\n")
    with pytest.raises(FormatError, match=rf"a\.txt, line 2: .*{said.rpartition('line 2: ')[2]}"):
        list(read_yolo(tmp_path).images())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("train: [", r"data\.yaml is not YAML"),
        ("7", r"data\.yaml: expected names"),
        ("[" * 5000, "nest too deeply"),
        ("names: [2026-99-01]", r"data\.yaml is not YAML: month must be"),
        ("train: images", "expected a list under names"),
        ("train: images\nnames: {1: bolt}", "expected a list under names"),
        ("train: images\nnames: [bolt, bolt]", "two classes have one name"),
        ("train: pictures\nnames: [bolt]", "train names 'pictures', which is no folder"),
    ],
)
def test_yolo_data_that_is_wrong(data: str, said: str, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    text(tmp_path / "data.yaml", data)
    with pytest.raises(FormatError, match=said):
        read_yolo(tmp_path)


def test_yolo_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"is no YOLO dataset: expected data\.yaml, or images beside"):
        read_yolo(tmp_path)
    picture(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "a.png").write_bytes(b"GIF")
    text(tmp_path / "labels" / "a.txt", "")
    with pytest.raises(FormatError, match=r"a\.png"):
        list(read_yolo(tmp_path).images())


# ---- VOC ----


def voc(folder: Path, objects: str, size: str = "<size><width>40</width><height>20</height></size>") -> Path:
    picture(folder / "JPEGImages" / "a b.png")
    text(
        folder / "Annotations" / "a b.xml",
        f"<annotation><filename>a b.png</filename>{size}{objects}</annotation>",
    )
    return folder


def thing(x0: str, y0: str, x1: str, y1: str, *, name: str = "bolt") -> str:
    corners = f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


@pytest.mark.parametrize("depth", ["", "VOC2012", "VOCdevkit/VOC2007"])
def test_voc_with_fractions_and_swapped_corners(depth: str, tmp_path: Path) -> None:
    objects = (
        thing("1", "1", "40", "20")
        + thing("30.5", "11", "3.25", "2", name="größe")
        + thing("50", "1", "60", "9")
    )
    folder = voc(tmp_path / depth, objects)
    text(folder / "ImageSets" / "Main" / "val.txt", "a b\n")
    text(folder / "ImageSets" / "Main" / "bolt_train.txt", "a b  1\n")
    opened = read_voc(tmp_path)
    (image,) = opened.images()
    assert [cls.name for cls in opened.classes] == ["bolt", "größe"]
    assert (image.name, image.split, image.size) == ("a b.png", "val", SIZE)
    assert boxes(image) == [Box(0, 0, 40, 20), Box(2.25, 1, 30.5, 11)]
    assert opened.left_out == {"regions without area": 1}


def test_voc_without_a_size_has_the_image_s(tmp_path: Path) -> None:
    (image,) = read_voc(voc(tmp_path, thing("1", "1", "9", "9"), size="")).images()
    assert image.size == SIZE


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (thing("1", "x", "9", "9"), "object 1: expected xmin, ymin, xmax and ymax as numbers"),
        (thing("1", "nan", "9", "9"), "object 1: expected xmin"),
        (thing("1", "1", "9", "9", name=" "), "object 1: it has no name"),
        ("<object>", "is not XML"),
    ],
)
def test_voc_files_that_are_wrong_are_named(objects: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=rf"a b\.xml.*{said}"):
        list(read_voc(voc(tmp_path, objects)).images())


def test_sizes_that_no_mask_can_have_are_named(tmp_path: Path) -> None:
    side = 60_000
    corners = [[1, 1, side, 1, side, side]]
    image = {"id": 1, "file_name": "a.png", "width": side, "height": side}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "segmentation": corners}
    coco = {"images": [image], "categories": [{"id": 1, "name": "car"}], "annotations": [entry]}
    about = {"image": "a.png", "width": side, "height": side}
    polygon = {"points": [[1, 1], [90, 1], [90, 90]], "polygonlabels": ["car"]}
    drawn = [{"id": "1", "type": "polygonlabels", "value": polygon}]
    tasks = [{"data": about, "annotations": [{"result": drawn}]}]
    item = {"id": "a", "image": {"path": "a.png", "size": [side, side]}, "annotations": []}
    labels = {"label": {"labels": [{"name": "car"}]}}
    size = f"<size><width>{side}</width><height>{side}</height></size>"
    files = {
        "coco": ("coco.json", json.dumps(coco)),
        "label-studio": ("tasks.json", json.dumps(tasks)),
        "datumaro": ("annotations/default.json", json.dumps({"categories": labels, "items": [item]})),
        "voc": ("Annotations/a.xml", f"<annotation>{size}{thing('1', '1', '9', '9')}</annotation>"),
    }
    for name, (path, content) in files.items():
        file = tmp_path / name / path
        file.parent.mkdir(parents=True)
        file.write_text(content)
        read = find_format(name).read
        assert read is not None
        with pytest.raises(FormatError, match="has fewer than 2,147,483,648 pixels"):
            list(read(file if name in ("coco", "label-studio") else tmp_path / name).images())


def test_voc_maps_of_another_size_or_class(tmp_path: Path) -> None:
    folder = voc(tmp_path, thing("1", "1", "9", "9"))
    (folder / "SegmentationClass").mkdir()
    pixels = np.zeros((20, 40), dtype=np.uint8)
    for values, said in ((pixels[:, 1:], "is 39x20, its image is 40x20"), (pixels + 3, "has class 3")):
        Image.fromarray(values).save(folder / "SegmentationClass" / "a b.png")
        with pytest.raises(FormatError, match=said):
            list(read_voc(folder).images())
    with pytest.raises(FormatError, match="is no VOC folder: expected one with Annotations"):
        read_voc(tmp_path / "JPEGImages")


# ---- COCO ----


def test_coco_files_beside_their_images(tmp_path: Path) -> None:
    """Roboflow's layout, without sizes, with a crowd."""
    picture(tmp_path / "valid" / "a b.png")
    entries = [
        {"id": 1, "image_id": "x", "category_id": 5, "bbox": [1, 2, 3, 4]},
        {"id": 2, "image_id": "x", "category_id": 5, "bbox": [1, 2, 3, 4], "iscrowd": 1},
        {"id": 3, "image_id": "x", "category_id": 5, "bbox": [90, 2, 3, 4]},
    ]
    content = {
        "images": [{"id": "x", "file_name": "a b.png"}],
        "annotations": entries,
        "categories": [{"id": 5, "name": "bolt"}, {"id": 7, "name": "sky", "supercategory": "stuff"}],
    }
    text(tmp_path / "valid" / "_annotations.coco.json", json.dumps(content))
    opened = read_coco_files(tmp_path)
    (image,) = opened.images()
    assert [(cls.name, cls.kind) for cls in opened.classes] == [("bolt", "thing"), ("sky", "stuff")]
    assert (image.split, image.size, image.uri) == ("valid", SIZE, str(tmp_path / "valid" / "a b.png"))
    assert boxes(image) == [Box(1, 2, 4, 6)]
    assert opened.left_out == {"crowds": 1, "regions without area": 1}
    (tmp_path / "valid" / "a b.png").unlink()
    with pytest.raises(FormatError, match=r"a b\.png: it has no width and height, and its file is not there"):
        list(opened.images())
    with pytest.raises(FormatError, match="has no COCO file"):
        read_coco_files(new_folder(tmp_path))


def new_folder(path: Path) -> Path:
    (path / "empty").mkdir()
    return path / "empty"


def coco(folder: Path, **lists: object) -> Path:
    """Two images of which the first has a box; lists in the order that is given, then these."""
    content = {
        "annotations": [{"id": 1, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 1, "name": "bolt"}],
        "images": [
            {"id": number, "file_name": f"{name}.png", "width": 40, "height": 20}
            for number, name in ((2, "a"), ("7", "größe"))
        ],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(lists | {key: content[key] for key in content.keys() - lists.keys()}))
    return path


@pytest.mark.parametrize("first", ["annotations", "images"])
def test_coco_annotations_in_any_order(first: str, tmp_path: Path) -> None:
    """Those of an image stay in their order, and ids meet as numbers or as text."""
    owners = ("7", 2, 99, 7, "2", 7.0)
    entries = [
        {"image_id": owner, "category_id": 1.0, "bbox": [number, 0, 1, 1], "segmentation": []}
        for number, owner in enumerate(owners)
    ]
    lists = {"annotations": entries} if first == "annotations" else {"images": IMAGES, "annotations": entries}
    opened = read_coco_files(coco(tmp_path, **lists))
    found = {image.name: [int(box.x0) for box in boxes(image) if box] for image in opened.images()}
    assert found == {"a.png": [1, 4], "größe.png": [0, 3, 5]}
    assert opened.left_out == {"annotations of images that are not listed": 1}
    (tmp_path / "labels.json").write_text("[]" * 1000)
    with pytest.raises(FormatError, match=r"labels\.json has changed since it was opened"):
        list(opened.images())


def annotation(**changes: object) -> dict[str, object]:
    return {"annotations": [{"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4], **changes}]}


def mask(counts: str) -> dict[str, object]:
    return {"size": [20, 40], "counts": counts}


RLE = {"size": [9, 9], "counts": "Q3"}
IMAGES = [
    {"id": number, "file_name": name, "width": 40, "height": 20}
    for number, name in ((2, "a.png"), (7, "größe.png"))
]


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({"images": [*IMAGES, IMAGES[0]]}, "images 2: expected a file_name of its own, not 'a.png'"),
        ({"images": [*IMAGES, {"id": "7", "file_name": "b.png"}]}, "images: the id '7' is there twice"),
        ({"images": [{"id": 1, "file_name": "a.png", "width": -3}]}, "images 0: width and height are pixels"),
        ({"images": ["a.png"]}, "images 0: expected an object"),
        ({"images": {}}, 'is not a COCO dataset: expected a list under "images"'),
        (
            {"categories": [{"id": n, "name": "bolt"} for n in (1, 2)]},
            "categories: the name 'bolt' is there twice",
        ),
        ({"categories": [{"id": "x"}]}, "categories 0: expected an object with a whole number or text as id"),
        (annotation(category_id=3), "annotations 0: category_id 3 is none of the categories"),
        (annotation(category_id=[1]), r"annotations 0: category_id \[1\] is none of the categories"),
        (annotation(image_id=None), "annotations 0: expected a whole number or text as image_id, not None"),
        (annotation(bbox=[1, 2, -3, 4]), "annotations 0: a bbox has no negative width or height"),
        (annotation(bbox=None), "annotations 0: expected bbox"),
        (annotation(segmentation=RLE), r"annotations 0: the mask is \[9, 9\], its image \[20, 40\]"),
        (annotation(segmentation=mask("7")), "annotations 0: the run lengths sum to 7"),
        (annotation(segmentation=mask("P")), "annotations 0: not a compressed COCO mask"),
        (annotation(segmentation=mask("@")), "annotations 0: expected run lengths as whole numbers"),
        (annotation(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "annotations 0: expected a polygon"),
        (annotation(iscrowd=2), "annotations 0: expected 0 or 1 as iscrowd, not 2"),
        ({"annotations": [7]}, "annotations 0: expected an object, not 7"),
    ],
)
def test_coco_files_that_are_wrong_are_named(lists: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=rf"labels\.json,? {said}"):
        list(read_coco_files(coco(tmp_path, **lists)).images())
