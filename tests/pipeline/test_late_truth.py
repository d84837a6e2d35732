"""Truth that is imported for images that are tasks already: kept, said, and not used."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from detseg.catalog import Assignment
from detseg.pipeline.evaluate import evaluate
from detseg.pipeline.importing import Import, import_dataset
from detseg.pipeline.workspace import opened_catalog
from detseg.types import Arm
from tests.pipeline.labeled import NOON, SIZE, make_project, write_coco


def test_truth_of_images_that_are_tasks_already_is_counted(tmp_path: Path) -> None:
    """It measures nobody on them, unless they were drawn as gold images."""
    project = make_project(tmp_path)
    project.add(range(4))
    arms: dict[int, Arm] = {1: "control", 2: "gold"}
    with opened_catalog(project.settings) as catalog:
        key = project.project(catalog).key
        catalog.arms.record(key, [Assignment(project.images[n].id, arm) for n, arm in arms.items()])
    Image.new("RGB", (SIZE.width, SIZE.height)).save(tmp_path / "photos" / "new.jpg")
    names = [*(f"photo {n}.jpg" for n in range(3)), "new.jpg"]
    path = write_coco(
        tmp_path / "truth.json",
        {name: [("bolt", [2, 3, 10, 20])] for name in names},
        size=(SIZE.width, SIZE.height),
    )
    for _ in range(2):
        done = import_dataset(project.settings, Import(path, "coco", "gold", tmp_path / "photos"))
        assert (done.images, done.late) == (4, 2)
    with opened_catalog(project.settings) as catalog:
        report = evaluate(project.settings, catalog, out=tmp_path / "report.html", now=NOON)
    assert report.result.basis.n_late_truth == 2
    assert any("the imported truth of 2 images is not used" in note for note in report.to_json()["notes"])
