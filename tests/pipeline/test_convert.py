"""Datasets from one format into another: with their images, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from detseg.errors import ConfigError, DatasetError, FormatError
from detseg.formats.yolo_files import labels_path, read_yolo
from detseg.pipeline.convert import convert_dataset
from detseg.pipeline.dataset_folders import WriteOptions
from detseg.pipeline.formats import FormatName, SourceName, find_format

PLAIN = WriteOptions()


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """Two images, of which the second is empty and turned by its EXIF."""
    folder = tmp_path / "yolo"
    rows_of = {"train/day/größe 1": "0 0.75 0.5 0.25 0.5\n1 0 0 0.5 0 0.5 1\n", "val/day/b": ""}
    for stem, rows in rows_of.items():
        picture = folder / "images" / f"{stem}.jpg"
        picture.parent.mkdir(parents=True)
        exif = Image.Exif()
        exif[274] = 1 if rows else 6
        pixels = np.random.default_rng(1).integers(0, 256, (20, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(picture, exif=exif)
        labels_path(picture).parent.mkdir(parents=True)
        labels_path(picture).write_text(rows)
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [bolt, nut]\n")
    return folder


def test_every_format_is_written_from_yolo(yolo: Path, tmp_path: Path) -> None:
    for name in get_args(FormatName):
        out = tmp_path / f"as {name}"
        done = convert_dataset(yolo, "yolo", name, out, options=PLAIN)
        n_regions = 1 if name in ("coco-panoptic", "cityscapes", "ade20k") else 2  # which hold no boxes
        assert (done.written.images, done.written.regions, done.written.turned) == (2, n_regions, 1)
        assert all(path.exists() for path in done.written.written)
    coco = json.loads((tmp_path / "as coco" / "annotations" / "instances_train.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["day_größe 1.jpg"]
    path = tmp_path / "as coco" / "train" / "day_größe 1.jpg"
    assert path.read_bytes() == (yolo / "images" / "train" / "day" / "größe 1.jpg").read_bytes()


def test_there_and_back(yolo: Path, tmp_path: Path) -> None:
    before = {image.name.rpartition("/")[2]: image for image in read_yolo(yolo).images()}
    at, from_ = yolo, "yolo-segment"
    for step, name in enumerate(get_args(SourceName)):
        out = tmp_path / f"{step} {name}"
        convert_dataset(at, from_, "yolo-segment" if name == "yolo" else name, out, options=PLAIN)
        at, from_ = out, name
    read = find_format(from_).read
    assert read is not None
    found = list(read(at).images())
    ending = "_leftImg8bit"  # which Cityscapes puts behind the names of images
    assert {image.name.replace(ending, ""): image.size for image in found} == {
        f"day_{name}": image.size for name, image in before.items()
    }
    masks = {one.label: one.mask for image in found for one in image.instances}
    assert masks["nut"] == before["größe 1.jpg"].instances[1].mask


def test_what_is_lost_is_said_and_strict_refuses(yolo: Path, tmp_path: Path) -> None:
    said: list[str] = []
    convert_dataset(yolo, "yolo", "yolo", tmp_path / "out", options=PLAIN, warn=said.append)
    assert said == [f"yolo cannot hold all of {yolo}: masks left out: 1"]
    with pytest.raises(DatasetError, match="cannot hold all of"):
        convert_dataset(yolo, "yolo", "yolo", tmp_path / "strict", options=WriteOptions(strict=True))
    assert not (tmp_path / "strict").exists()


def test_images_are_linked_or_left(yolo: Path, tmp_path: Path) -> None:
    convert_dataset(yolo, "yolo", "coco", tmp_path / "links", options=WriteOptions("link"))
    (link,) = (tmp_path / "links" / "train").iterdir()
    assert link.resolve() == (yolo / "images" / "train" / "day" / "größe 1.jpg").resolve()
    convert_dataset(yolo, "yolo", "coco", tmp_path / "none", options=WriteOptions("none"))
    rows = [json.loads(line) for line in (tmp_path / "none" / "manifest.jsonl").read_text().splitlines()]
    assert [row["uri"] for row in rows] == [image.uri for image in read_yolo(yolo).images()]


def test_images_that_are_not_there(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 9, "height": 9} for n in (1, 2)],
        "annotations": [],
        "categories": [{"id": 1, "name": "bolt"}],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    Image.new("RGB", (9, 9)).save(tmp_path / "1.png")
    with pytest.raises(DatasetError, match=r"^1 image cannot be exported: 2\.png is not beside the labels"):
        convert_dataset(path, "coco", "voc", tmp_path / "out", options=PLAIN)
    done = convert_dataset(path, "coco", "voc", tmp_path / "out", options=WriteOptions(skip_missing=True))
    assert (done.written.images, len(done.written.missing)) == (1, 1)
    content["images"][0]["file_name"] = "../1.png"
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=r"'\.\./1\.png' leads out of its folder"):
        convert_dataset(path, "coco", "yolo", tmp_path / "up", options=PLAIN)
    content["images"][0]["file_name"] = "1\0.png"
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=r"no file can have the name of the image '1\\x00\.png'"):
        convert_dataset(path, "coco", "kitti", tmp_path / "nul", options=WriteOptions("none"))


def test_images_inside_of_parquet(yolo: Path, tmp_path: Path) -> None:
    convert_dataset(yolo, "yolo", "hf", tmp_path / "hf", options=PLAIN)
    with pytest.raises(DatasetError, match="are inside its files, so nothing can link to them"):
        convert_dataset(tmp_path / "hf", "hf", "coco", tmp_path / "links", options=WriteOptions("link"))
    convert_dataset(tmp_path / "hf", "hf", "coco", tmp_path / "out", options=PLAIN)
    path = tmp_path / "out" / "train" / "day_größe 1.jpg"
    assert path.read_bytes() == (yolo / "images" / "train" / "day" / "größe 1.jpg").read_bytes()


def test_formats_that_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no format 'voc2'"):
        convert_dataset(tmp_path, "voc2", "coco", tmp_path / "out", options=PLAIN)
    with pytest.raises(FormatError, match="does not exist"):
        convert_dataset(tmp_path / "nowhere", "voc", "coco", tmp_path / "out", options=PLAIN)
    readable = [name for name in get_args(FormatName) if find_format(name).read is not None]
    assert sorted(readable) == sorted(get_args(SourceName))


@pytest.mark.parametrize("name", ["../secret.png", "{root}/secret.png", "images/../../secret.png"])
@pytest.mark.parametrize("layout", ["coco", "coco-panoptic", "hf-imagefolder"])
def test_a_strangers_dataset_copies_nothing_from_outside_of_it(
    name: str, layout: SourceName, tmp_path: Path
) -> None:
    name = name.format(root=tmp_path)
    Image.fromarray(np.zeros((20, 40, 3), dtype=np.uint8)).save(tmp_path / "secret.png")
    theirs = tmp_path / "theirs"
    (theirs / "annotations" / "panoptic").mkdir(parents=True)
    image = {"id": 1, "file_name": name, "width": 40, "height": 20}
    entries: dict[str, Any] = {
        "images": [image],
        "annotations": [],
        "categories": [{"id": 1, "name": "bolt"}],
    }
    row = {"file_name": name, "width": 40, "height": 20, "objects": {"bbox": [], "category": []}}
    for file, data in (("annotations/instances.json", entries), ("metadata.jsonl", row)):
        (theirs / file).write_text(json.dumps(data) + "\n")
    segments = [{"image_id": 1, "file_name": "1.png", "segments_info": []}]
    panoptic = entries | {"annotations": segments, "categories": [{"id": 1, "name": "bolt", "isthing": 1}]}
    (theirs / "annotations" / "panoptic.json").write_text(json.dumps(panoptic))
    Image.fromarray(np.zeros((20, 40, 3), dtype=np.uint8)).save(theirs / "annotations" / "panoptic" / "1.png")
    with pytest.raises((DatasetError, FormatError), match=r"not beside the labels|leads out of its folder"):
        convert_dataset(theirs, layout, "yolo", tmp_path / "out", options=PLAIN)
    assert not list(tmp_path.glob("out/**/*.png"))
