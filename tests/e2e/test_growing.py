"""docs/growing.md, word by word: a dataset grows in the real page, and leaves in six formats."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision
from pycocotools.coco import COCO

from detseg.cli.app import app
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection, EmbeddedLabelStudio
from detseg.samples.checkpoints import checkpoint_path
from detseg.types import Size
from tests.e2e.page import labeling_page
from tests.pages.test_examples import DOCS, programs

SIZE = Size(640, 480)
N_OLD, N_MORE = 12, 3


def make_folders(shared: Path, folder: Path) -> None:
    """Some images as a dataset with labels; others, and one of the first again; what a program has found on
    these: what is there, five pixels beside it, and a box on nothing."""
    data = json.loads((shared / "bccd" / "instances.json").read_text())
    boxes: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in data["images"]}
    for entry in data["annotations"]:
        boxes[entry["image_id"]].append(entry)
    images = sorted(data["images"], key=lambda image: (len(boxes[image["id"]]), image["file_name"]))
    more, old = images[4 : 4 + N_MORE], images[10 : 10 + N_OLD]  # the page lists few regions at once
    for name, chosen in (("cells/images", old), ("more", [*more, old[0]])):
        (folder / name).mkdir(parents=True)
        for image in chosen:
            shutil.copy(shared / "bccd" / "images" / image["file_name"], folder / name)
    annotations = [entry for image in old for entry in boxes[image["id"]]]
    kept = {"categories": data["categories"]}
    (folder / "cells" / "instances.json").write_text(
        json.dumps(kept | {"images": old, "annotations": annotations})
    )
    found = []
    for image in more:
        for entry in boxes[image["id"]]:
            x, y, width, height = entry["bbox"]
            found.append(entry | {"bbox": [min(x + 5, 639 - width), y, width, height], "score": 0.8})
        found.append(found[-1] | {"id": 10**6 + image["id"], "bbox": [1, 1, 30, 30], "score": 0.9})
    (folder / "found.json").write_text(json.dumps(kept | {"images": more, "annotations": found}))


def run(command: str) -> None:
    app(shlex.split(command)[1:], standalone_mode=False)


def read_json(capfd: pytest.CaptureFixture[str], command: str) -> Any:
    capfd.readouterr()
    run(f"{command} --json")
    return json.loads(capfd.readouterr().out)


def find_free_place(shown: list[dict[str, Any]]) -> tuple[float, float]:
    """A corner of 20 pixels of the image that no box covers: a drag in a box would move that."""
    boxes = [
        (x * 6.4, y * 4.8, (x + width) * 6.4, (y + height) * 4.8)
        for x, y, width, height in (map(one["value"].get, ("x", "y", "width", "height")) for one in shown)
    ]
    return next(
        (x, y)
        for y in range(100, 440, 10)
        for x in range(100, 600, 10)
        if all(x + 20 < x0 or x > x1 or y + 20 < y0 or y > y1 for x0, y0, x1, y1 in boxes)
    )


def correct_in_the_page(connection: Connection, project: int, tasks: list[dict[str, Any]]) -> Counter[str]:
    """Delete the box on nothing in each task, where another is drawn in the first one, and give a box of the
    last one another class; the labels that were submitted."""
    submitted: Counter[str] = Counter()
    with labeling_page(connection, height=1000) as page:
        for task in tasks:
            shown = task["predictions"][0]["result"]
            page.open_task(project, task["id"], n_regions=len(shown))
            (wrong,) = (one["id"] for one in shown if one["value"]["x"] < 0.5 and one["value"]["y"] < 0.5)
            page.delete(wrong)
            if task is tasks[0]:
                page.choose("box", "Platelets")
                x, y = find_free_place(shown)
                page.draw((x, y), (x + 18, y + 18), size=SIZE)
            if task is tasks[-1]:
                other = next(one.id for one in page.regions() if one.label == "RBC")
                page.select(other)
                page.choose("box", "WBC")
                page.unselect()
            submitted.update(one.label for one in page.regions())
            page.submit(task["id"])
    return submitted


def test_a_dataset_grows_and_leaves_in_six_formats(
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    label_studio_state: Path,
    label_studio: Connection,
    document_root: Path,
    client: LabelStudioClient,
    new_title: Callable[[], str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    title = new_title()
    make_folders(shared_data, tmp_path)
    text = (DOCS / "growing.md").read_text()
    (written,) = re.findall(r"(?ms)^```toml\n(.*?)^```", text)
    server = f'[label_studio]\nurl = "{label_studio.url}"\nfiles = "{document_root}"\n'
    arms = "[experiments]\ncontrol_share = 0\n"
    (tmp_path / "detseg.toml").write_text(written.replace('"cells"', json.dumps(title)) + server + arms)
    monkeypatch.setenv("DETSEG_LABEL_STUDIO__TOKEN", label_studio.token)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    commands = [line for block in re.findall(r"(?ms)^```sh\n(.*?)^```", text) for line in block.splitlines()]
    commands.remove("detseg up")  # the server of all tests is up
    to_collect, to_trace = (
        next(i for i, c in enumerate(commands) if word in c) for word in (" collect", " trace")
    )
    for command in commands[:to_collect]:
        run(command)
    said = capfd.readouterr().out
    assert f"cells: {N_OLD} images with" in said
    assert "1 image left out: labeled by `detseg import`" in said
    (project,) = client.find_projects(title)
    tasks = sorted(client.tasks(project.id), key=lambda task: int(task["id"]))
    assert len(tasks) == N_MORE
    connection = EmbeddedLabelStudio(label_studio_state).connection()
    assert connection is not None
    corrected = correct_in_the_page(connection, project.id, tasks)
    assert corrected != Counter(
        one["value"]["rectanglelabels"][0] for task in tasks for one in task["predictions"][0]["result"]
    )

    for command in commands[to_collect:to_trace]:
        run(command)
    n_images, n_regions = check_versions(capfd, commands[to_trace], corrected)

    *exports, with_own = commands[to_trace + 1 :]
    for command in exports:
        run(command)
    check_exports(tmp_path, n_images, n_regions)
    train(tmp_path)
    capfd.readouterr()
    run(with_own)
    said = capfd.readouterr().out
    assert f"{N_MORE + 1} files: 0 new images, predicted {N_MORE}" in said
    assert "without some of their regions" not in said
    assert re.search("(?m)^model mine@", said)


def check_versions(
    capfd: pytest.CaptureFixture[str], trace_command: str, corrected: Counter[str]
) -> tuple[int, int]:
    """Compare the second version with the first, trace an image, and return its images and regions."""
    before, after = (read_json(capfd, f"detseg dataset show {name}") for name in ("v1", "v2"))
    assert (before["images"], after["images"]) == (N_OLD, N_OLD + N_MORE)
    assert after["regions"] == before["regions"] + corrected.total()
    difference = read_json(capfd, "detseg dataset diff v1 v2")
    assert difference["images"] == {"added": N_MORE, "removed": 0, "changed": 0}
    assert {label: one["added"] for label, one in difference["by_class"].items()} == dict(corrected)
    (trace,) = read_json(capfd, trace_command)["versions"]
    assert trace["authors"] != ["import:cells"]
    assert trace["model_versions"][0].startswith("found@")
    old = read_json(capfd, "detseg dataset trace BloodImage_00158.jpg")["versions"][0]
    assert (old["authors"], old["reviews"]) == (["import:cells"], [])
    return after["images"], after["regions"]


def train(folder: Path) -> None:
    """Fine-tune as docs/datasets.md shows it, on what was exported."""
    (program,) = programs("datasets.md")
    small = repr(str(checkpoint_path("detector")))
    program = program.replace('"PekingU/rtdetr_v2_r18vd"', small).replace("v1-hf", "v2-hf")
    exec(program, {})
    learned = json.loads((folder / "mine" / "config.json").read_text())
    assert set(learned["id2label"].values()) == {"Platelets", "RBC", "WBC"}


def check_exports(folder: Path, n_images: int, n_regions: int) -> None:
    """Read what was exported with the field's own libraries."""
    files = sorted((folder / "v2-coco" / "annotations").glob("*.json"))
    coco = [COCO(str(path)) for path in files]
    assert sum(len(one.imgs) for one in coco) == n_images
    assert sum(len(one.anns) for one in coco) == n_regions
    yolo = [
        supervision.DetectionDataset.from_yolo(
            str(images),
            str(folder / "v2-yolo" / "labels" / images.name),
            str(folder / "v2-yolo" / "data.yaml"),
        )
        for images in sorted((folder / "v2-yolo" / "images").iterdir())
    ]
    assert sum(len(one.annotations[path]) for one in yolo for path in one.image_paths) == n_regions
    voc = supervision.DetectionDataset.from_pascal_voc(
        str(folder / "v2-voc" / "JPEGImages"), str(folder / "v2-voc" / "Annotations")
    )
    boxes = np.concatenate([voc.annotations[path].xyxy for path in voc.image_paths])
    assert boxes.shape == (n_regions, 4)
    tasks = json.loads((folder / "v2-label-studio" / "tasks.json").read_text())
    assert sum(len(task["annotations"][0]["result"]) for task in tasks) == n_regions
    rows = [
        json.loads(line)
        for path in (folder / "v2-imagefolder").rglob("metadata.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert sum(len(row["objects"]["bbox"]) for row in rows) == n_regions
