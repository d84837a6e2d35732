"""Exports of versions: whole or not at all, every image as it was labeled, nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from detseg.datasets.splits import SplitRule
from detseg.errors import ConfigError, DatasetError
from detseg.pipeline.dataset_folders import WriteOptions
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.export import export_version
from tests.pipeline.labeled import SIZE, LabeledProject, bolt, make_project, ring

PLAIN = WriteOptions()


@pytest.fixture
def project(tmp_path: Path) -> LabeledProject:
    """Three images, of which the second is empty and the third turned by its EXIF."""
    made = make_project(tmp_path)
    made.add([0, 1], metadata='{"side": "train"}')
    made.add([2], metadata='{"side": "val"}', orientation=8)
    made.review(0, [bolt("a"), ring("b")])
    made.review(1)
    made.review(2, [bolt("c")])
    create_version(made.settings, "v1", Wish())
    return made


def coco(folder: Path, name: str = "instances.json") -> dict[str, list[dict[str, object]]]:
    read: dict[str, list[dict[str, object]]] = json.loads((folder / "annotations" / name).read_text())
    return read


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_images_lie_where_the_file_says(project: LabeledProject, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = export_version(project.settings, "v1", "coco", out, options=PLAIN)
    assert (done.images, done.regions, done.turned, done.missing, done.lost) == (3, 3, 1, (), {})
    images = coco(out)["images"]
    assert files(out) == {f"images/{one['file_name']}" for one in images} | {"annotations/instances.json"}
    assert done.written == (out / "annotations" / "instances.json",)
    for number, image in project.images.items():
        (path,) = (out / "images").glob(f"photo_{number}-{image.id[7:19]}.jpg")
        if number < 2:
            assert path.read_bytes() == project.path(number).read_bytes()
        else:
            with Image.open(path) as turned, Image.open(project.path(number)) as stored:
                assert turned.size == (SIZE.width, SIZE.height) != stored.size
                assert dict(turned.getexif()) == {}
                upright = np.rot90(np.asarray(stored, dtype=np.int16))
                assert np.abs(np.asarray(turned, dtype=np.int16) - upright).mean() < 3


def test_links_lead_to_the_files(project: LabeledProject, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_version(project.settings, "v1", "coco", out, options=WriteOptions("link"))
    links = {path.resolve() for path in (out / "images").iterdir() if path.is_symlink()}
    assert links == {project.path(0), project.path(1)}
    assert len(list((out / "images").iterdir())) == 3


def test_without_images_a_manifest_says_where_they_are(project: LabeledProject, tmp_path: Path) -> None:
    project.path(0).unlink()  # nobody reads it
    out = tmp_path / "out"
    export_version(project.settings, "v1", "coco", out, options=WriteOptions("none"))
    assert files(out) == {"annotations/instances.json", "manifest.jsonl"}
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert {row["uri"] for row in rows} == {str(project.path(number)) for number in range(3)}
    assert {row["file_name"] for row in rows} == {one["file_name"] for one in coco(out)["images"]}


@pytest.mark.parametrize("name", ["yolo", "yolo-segment", "kitti", "voc"])
def test_what_needs_the_images_to_be_read_says_so_before_it_writes(
    name: str, project: LabeledProject, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said: list[tuple[str, bool]] = []
    export_version(
        project.settings,
        "v1",
        name,
        out,
        options=WriteOptions("none"),
        warn=lambda line: said.append((line, out.exists())),
    )
    told = [was_there for line, was_there in said if "without these" in line]
    assert told == ([] if name == "voc" else [False])


def test_each_side_of_a_split_has_a_file_and_a_folder(project: LabeledProject, tmp_path: Path) -> None:
    version = create_version(project.settings, "v2", Wish(split=SplitRule(column="side")))
    assert version.counts.splits == {"train": 2, "val": 1}
    out = tmp_path / "out"
    export_version(project.settings, "v2", "coco", out, options=PLAIN)
    for split, n_images in version.counts.splits.items():
        assert len(coco(out, f"instances_{split}.json")["images"]) == n_images
        assert len(list((out / split).iterdir())) == n_images
    only = export_version(project.settings, "v2", "coco", tmp_path / "one", split="val", options=PLAIN)
    assert only.images == version.counts.splits["val"]
    with pytest.raises(DatasetError, match="has no split 'test'; it has train, val"):
        export_version(project.settings, "v2", "coco", tmp_path / "none", split="test", options=PLAIN)


def test_what_is_there_stays(project: LabeledProject, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    export_version(project.settings, "v1", "coco", out, options=PLAIN)  # an empty folder will do
    before = files(out)
    for taken in (out, project.path(0)):
        with pytest.raises(DatasetError, match="not an empty folder"):
            export_version(project.settings, "v1", "coco", taken, options=PLAIN)
    assert files(out) == before
    with pytest.raises(ConfigError, match=r"no format 'coko': take one of .*coco"):
        export_version(project.settings, "v1", "coko", tmp_path / "other", options=PLAIN)
    with pytest.raises(DatasetError, match="no dataset version 'v9'"):
        export_version(project.settings, "v9", "coco", tmp_path / "other", options=PLAIN)


def test_what_is_lost_is_said_before_it_is(project: LabeledProject, tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match=r"^yolo cannot hold all of v1: masks left out: 1$"):
        export_version(project.settings, "v1", "yolo", out, options=WriteOptions(strict=True))
    assert not out.exists()
    done = export_version(project.settings, "v1", "yolo", out, options=PLAIN, warn=said.append)
    assert done.lost == {"masks left out": 1}
    assert said == [
        "yolo: images without a split are in train",
        "yolo: there is no val, which Ultralytics wants: data.yaml names train's images for it",
        "yolo cannot hold all of v1: masks left out: 1",
    ]
    assert done.written == (out / "data.yaml", out / "labels" / "train")


@pytest.mark.parametrize("what", ["gone", "changed"])
def test_an_image_that_is_not_there_as_it_was_is_named(
    project: LabeledProject, tmp_path: Path, what: str
) -> None:
    if what == "gone":
        project.path(1).unlink()
    else:
        project.path(1).write_bytes(project.path(0).read_bytes())
    for name in ("coco", "hf"):
        out = tmp_path / name
        with pytest.raises(
            DatasetError, match=r"^1 image cannot be exported: .*photo 1\.jpg .*--skip-missing"
        ):
            export_version(project.settings, "v1", name, out, options=PLAIN)
        assert {path.name for path in tmp_path.iterdir()} <= {".detseg", "photos", "coco"}
        done = export_version(project.settings, "v1", name, out, options=WriteOptions(skip_missing=True))
        assert (done.images, len(done.missing), done.turned) == (2, 1, 1)
    assert len(coco(tmp_path / "coco")["images"]) == 2
    assert parquet.read_table(done.written[0]).num_rows == 2


def test_equal_names_of_two_folders_are_two_files(project: LabeledProject, tmp_path: Path) -> None:
    """Even if one image is another's bytes but for the last."""
    twin = tmp_path / "photos" / "twin"
    twin.mkdir()
    project.add([7])
    project.path(7).rename(twin / "photo 0.jpg")
    project.review(7, [bolt("z")])
    project.move(7, twin / "photo 0.jpg")
    create_version(project.settings, "v2", Wish())
    done = export_version(project.settings, "v2", "coco", tmp_path / "out", options=PLAIN)
    assert len(files(tmp_path / "out")) == done.images + 1 == 5
