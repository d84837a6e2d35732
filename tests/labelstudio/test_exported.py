"""Tasks as servers export them, of anybody's interfaces, whole and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detseg.errors import FormatError
from detseg.labelstudio.exported import read_tasks
from detseg.types import Box, ImageId

ID = "sha256:" + "0" * 64


def rectangle(label: str, x: float = 0.0, **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": 0, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": [label]}
    common = {"type": "rectanglelabels", "original_width": 40, "original_height": 20}
    return {"id": f"r{x}{label}", "value": value, **common, "from_name": "any", "to_name": "photo", **more}


def polygon(label: str) -> dict[str, Any]:
    value = {"points": [[0, 0], [100, 0], [100, 100]], "polygonlabels": [label]}
    return {"id": "p", "type": "polygonlabels", "value": value, "from_name": "b", "to_name": "photo"}


def task(number: int, image: str, *annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": number, "data": {"image": image, **data}, "annotations": list(annotations), "meta": {}}


def write(folder: Path, tasks: Any) -> Path:
    path = folder / "tasks.json"
    path.write_text(json.dumps(tasks))
    return path


def test_an_export_of_any_server(tmp_path: Path) -> None:
    first = {"id": 1, "updated_at": "2026-01-01T00:00:00Z", "result": [rectangle("nut")]}
    choice = {"id": "c", "type": "choices", "value": {"choices": ["blurred"]}, "from_name": "q"}
    results = [rectangle("bolt", 10, to_name="photo"), polygon("größe"), choice]
    last = {"id": 2, "updated_at": "2026-01-02T00:00:00Z", "result": results}
    (tmp_path / "images").mkdir()
    Image.new("RGB", (30, 10)).save(tmp_path / "images" / "b c.png")
    tasks = [
        task(1, "/data/upload/3/1a2b-cat.jpg", last, first, image_id=ID, split="val"),
        task(2, "/data/local-files/?d=set/b%20c.png", {"id": 3, "result": []}),
        task(3, "s3://bucket/d.png"),
        task(4, "s3://bucket/e.png", {"id": 4, "was_cancelled": True, "result": [rectangle("bolt")]}),
        task(5, "s3://bucket/f.png?v=1", {"id": 5, "result": [rectangle("nut")]}),
    ]
    opened = read_tasks(write(tmp_path, tasks))
    one, empty, other = opened.images()
    assert [(cls.name, cls.kind) for cls in opened.classes] == [
        (n, "thing") for n in ("bolt", "größe", "nut")
    ]
    assert (one.name, one.split, one.image, one.uri) == ("data/upload/3/1a2b-cat.jpg", "val", ImageId(ID), "")
    assert [(found.label, found.box, found.mask is not None) for found in one.instances] == [
        ("bolt", Box(4, 0, 24, 10), False),
        ("größe", None, True),
    ]
    assert (empty.name, str(empty.size), empty.instances) == ("set/b c.png", "30x10", ())
    assert Path(empty.uri).samefile(tmp_path / "images" / "b c.png")
    assert (other.name, other.uri) == ("f.png", "s3://bucket/f.png?v=1")
    assert opened.left_out == {
        "annotations before the last of their image": 1,
        "images without an annotation": 1,
        "results without a shape": 1,
        "skipped images": 1,
    }


def test_an_interface_says_what_is_stuff(tmp_path: Path) -> None:
    (tmp_path / "label_config.xml").write_text(
        '<View><Image name="photo" value="$picture"/><RectangleLabels name="any" toName="photo">'
        '<Label value="bolt"/></RectangleLabels><PolygonLabels name="b" toName="photo"><Label value="belt"/>'
        "</PolygonLabels></View>"
    )
    found = {"id": 1, "result": [{**polygon("belt"), "original_width": 40, "original_height": 20}]}
    write(tmp_path, [{"id": 1, "data": {"picture": "a.png"}, "annotations": [found]}])
    opened = read_tasks(tmp_path)
    assert [(cls.name, cls.kind) for cls in opened.classes] == [("bolt", "thing"), ("belt", "stuff")]
    (image,) = opened.images()
    assert [one.kind for one in image.instances] == ["stuff"]


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ({"tasks": []}, "has no tasks of Label Studio: expected a list"),
        ([{"image": "a.png", "label": []}], r"not JSON-MIN"),
        ([task(7, "a.png", {"result": [rectangle("bolt", "x")]}, width=40, height=20)], "task 7, .*'x'"),
        ([task(7, "", {"result": []})], "task 7: its data names no image under 'image'"),
        ([task(7, "a.png", {"result": []})], "task 7: neither it nor a result says its image's size"),
        (
            [task(7, "a.png", {"result": [rectangle("bolt")]}, width=9, height=9)],
            "image of 40x20, but the task",
        ),
    ],
)
def test_tasks_that_are_wrong_are_named(tasks: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=said):
        list(read_tasks(write(tmp_path, tasks)).images())


def test_folders_without_tasks(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"expected tasks\.json"):
        read_tasks(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text("[]")
    with pytest.raises(FormatError, match="has several JSON files, name one"):
        read_tasks(tmp_path)
