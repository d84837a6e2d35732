"""Boxes that lie across the image's border, in every format that has boxes: they are cut, and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detseg.pipeline.formats import find_format
from detseg.types import Box, Size

SIZE = Size(40, 20)
CUT, WHOLE = (-3.0, 2.0, 10.0, 8.0), (30.0, 10.0, 10.001, 10.001)
"""x, y, width and height: three pixels are outside; a thousandth is, by rounding."""


def corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x, y, x + width, y + height


def coco() -> dict[str, str]:
    boxes = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": list(box)}
        for number, box in enumerate((CUT, WHOLE), 1)
    ]
    return {
        "labels.json": json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}],
                "annotations": boxes,
                "categories": [{"id": 1, "name": "bolt"}],
            }
        )
    }


def yolo() -> dict[str, str]:
    rows = [
        f"0 {(x + width / 2) / 40:f} {(y + height / 2) / 20:f} {width / 40:f} {height / 20:f}"
        for x, y, width, height in (CUT, WHOLE)
    ]
    return {"labels/a.txt": "\n".join(rows)}


def voc() -> dict[str, str]:
    objects = ""
    for x0, y0, x1, y1 in (corners(*CUT), corners(*WHOLE)):
        sides = {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1}  # the first pixel is 1
        box = "".join(f"<{side}>{place}</{side}>" for side, place in sides.items())
        objects += f"<object><name>bolt</name><bndbox>{box}</bndbox></object>"
    size = "<size><width>40</width><height>20</height></size>"
    return {"Annotations/a.xml": f"<annotation><filename>a.png</filename>{size}{objects}</annotation>"}


def image_folder() -> dict[str, str]:
    objects = {"bbox": [CUT, WHOLE], "category": ["bolt", "bolt"]}
    return {"metadata.jsonl": json.dumps({"file_name": "a.png", "objects": objects})}


def kitti() -> dict[str, str]:
    rows = [
        f"bolt 0 0 0 {' '.join(map(str, corners(*box)))} 1.5 1.6 3.9 1.8 1.5 8.4 0.01" for box in (CUT, WHOLE)
    ]
    return {"training/label_2/a.txt": "\n".join(rows)}


def open_images() -> dict[str, str]:
    rows = [
        f"a,xclick,/m/1,1,{x0 / 40},{x1 / 40},{y0 / 20},{y1 / 20},0"
        for x0, y0, x1, y1 in (corners(*CUT), corners(*WHOLE))
    ]
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf"
    return {
        "train-annotations-bbox.csv": "\n".join((header, *rows, "")),
        "class-descriptions.csv": "/m/1,bolt\n",
    }


def datumaro() -> dict[str, str]:
    shapes: list[dict[str, Any]] = [
        {"type": "bbox", "label_id": 0, "group": 0, "bbox": list(box)} for box in (CUT, WHOLE)
    ]
    item = {"id": "a", "annotations": shapes, "image": {"path": "a.png", "size": [20, 40]}}
    labels = {"labels": [{"name": "bolt", "parent": "", "attributes": []}]}
    return {"annotations/val.json": json.dumps({"items": [item], "categories": {"label": labels}})}


def label_studio() -> dict[str, str]:
    results = [
        {
            "id": f"{number}",
            "type": "rectanglelabels",
            "from_name": "box",
            "to_name": "image",
            "value": {
                "x": x / 40 * 100,
                "y": y / 20 * 100,
                "width": width / 40 * 100,
                "height": height / 20 * 100,
                "rectanglelabels": ["bolt"],
            },
        }
        for number, (x, y, width, height) in enumerate((CUT, WHOLE))
    ]
    task = {"data": {"image": "/data/local-files/?d=images/a.png"}, "annotations": [{"result": results}]}
    return {"tasks.json": json.dumps([task])}


@pytest.mark.parametrize(
    ("name", "files", "picture"),
    [
        ("coco", coco(), "a.png"),
        ("yolo", yolo(), "images/a.png"),
        ("voc", voc(), "JPEGImages/a.png"),
        ("hf-imagefolder", image_folder(), "a.png"),
        ("kitti", kitti(), "training/image_2/a.png"),
        ("open-images", open_images(), "images/train/a.png"),
        ("datumaro", datumaro(), "images/val/a.png"),
        ("label-studio", label_studio(), "images/a.png"),
    ],
)
def test_what_lies_outside_is_cut_and_counted(
    name: str, files: dict[str, str], picture: str, tmp_path: Path
) -> None:
    for place, content in files.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(content)
    (tmp_path / picture).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIZE.width, SIZE.height)).save(tmp_path / picture)
    read = find_format(name).read
    assert read is not None
    opened = read(tmp_path)
    (image,) = opened.images()
    cut, whole = (one.box for one in image.instances)
    assert cut is not None
    assert whole is not None
    assert cut.xyxy == pytest.approx((0, 2, 7, 10), abs=1e-4)
    assert whole.xyxy == pytest.approx(Box(30, 10, 40, 20).xyxy, abs=1e-4)
    assert {what: n for what, n in opened.left_out.items() if n} == {"parts of boxes outside of the image": 1}
