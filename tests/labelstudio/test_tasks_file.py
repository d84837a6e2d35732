"""Datasets as tasks: a real server imports them and has the same regions, and the image."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from detseg.formats import ImageLabels
from detseg.formats.dataset import Contents
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import decode_task
from detseg.labelstudio.session import Json
from detseg.labelstudio.tasks_file import CONFIG, LABEL_STUDIO, TASKS
from detseg.taxonomy import Taxonomy
from detseg.types import Box, ImageId, Instance, Mask, Size
from tests.labelstudio.scenes import SIZE, TAXONOMY, instances

NOW = "2026-11-20T20:23:44.713603Z"


def write(images: Sequence[ImageLabels], folder: Path, taxonomy: Taxonomy) -> list[Json]:
    paths = LABEL_STUDIO.write(Contents(taxonomy.classes, lambda: iter(images), lambda _: b""), folder)
    assert paths == (folder / TASKS, folder / CONFIG)
    tasks: list[Json] = json.loads((folder / TASKS).read_text())
    return tasks


def found(task: Json, taxonomy: Taxonomy) -> list[Instance]:
    (review,) = decode_task(task, taxonomy).reviews
    return [region.instance for region in review.annotation.regions]


def by_label(instances: Sequence[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda one: (one.label, one.mask is None, repr(one.mask), repr(one.box)))


def test_what_the_page_cannot_show_is_counted(tmp_path: Path) -> None:
    belt = replace(instances()[0], box=Box(0, 0, 9, 9))
    odd = (
        belt,
        Instance("bolt", "thing", Box(3, 3, 3, 9)),
        Instance("nut", "thing", mask=Mask(SIZE, (SIZE.area,))),
        Instance("nut", "thing", Box(-9, 3, 30, 9)),
    )
    image = ImageLabels("a.png", SIZE, odd)
    assert LABEL_STUDIO.losses is not None
    assert LABEL_STUDIO.losses(image) == {
        "boxes of stuff left out": 1,
        "regions without area left out": 2,
        "boxes cut at the image's border": 1,
    }
    (task,) = write([image], tmp_path, TAXONOMY)
    assert len(task["annotations"][0]["result"]) == 2


def test_images_that_are_not_copied_are_named_where_they_are(tmp_path: Path) -> None:
    for uri, wanted in (("s3://bucket/a.png", "s3://bucket/a.png"), ("/here/a.png", "images/a.png")):
        image = ImageLabels("a.png", SIZE, uri=uri)
        contents = Contents(TAXONOMY.classes, [image].copy, lambda _: b"", images_inside=False)
        LABEL_STUDIO.write(contents, tmp_path)
        (task,) = json.loads((tmp_path / TASKS).read_text())
        assert task["data"]["image"].endswith(wanted)


def test_a_real_server_imports_them_and_shows_the_image(
    client: LabelStudioClient, document_root: Path, new_title: Callable[[], str]
) -> None:
    folder = document_root / "größe 1"
    (folder / "images").mkdir(parents=True)
    ours = tuple(replace(one, score=None, seen_by=None) for one in instances())
    images = [
        ImageLabels("a b.png", SIZE, ours, "train", image=ImageId("sha256:" + "0" * 64)),
        ImageLabels("größe.png", Size(30, 20), image=ImageId("sha256:" + "1" * 64)),
    ]
    for image in images:
        Image.new("RGB", (image.size.width, image.size.height)).save(folder / "images" / image.name)
    tasks = write(images, folder, TAXONOMY)
    project = client.create_project(new_title(), (folder / CONFIG).read_text())
    client.create_local_storage(project.id, str(folder / "images"))
    for task in tasks:  # its document root lies above the folder
        task["data"]["image"] = task["data"]["image"].replace("?d=", "?d=gr%C3%B6%C3%9Fe%201/")
    client.import_tasks(project.id, tasks)
    on_server = list(client.tasks(project.id))
    for task, image in zip(on_server, images, strict=True):
        read = found(client.task(task["id"]), TAXONOMY)
        assert by_label(read) == by_label(image.instances)
        assert client.fetch(task["data"]["image"]) == (folder / "images" / image.name).read_bytes()
