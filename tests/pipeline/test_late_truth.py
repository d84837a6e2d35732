"""Truth that comes when its images are tasks already, or have another: kept, said, and not used."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from detseg.catalog import Assignment
from detseg.pipeline.evaluate import evaluate
from detseg.pipeline.experiments.gold import known_truth, record_truth, say_late_truth
from detseg.pipeline.importing import Import, forget_import, import_dataset
from detseg.pipeline.workspace import opened_catalog
from detseg.taxonomy import Taxonomy
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
    assert say_late_truth(2) in report.to_json()["notes"]


def test_an_import_leaves_the_truth_of_the_settings_file(tmp_path: Path) -> None:
    """So that taking it back does not take the truth of images that were drawn as gold ones."""
    project = make_project(tmp_path, source__location=str(tmp_path / "photos"))
    project.add(range(2))
    size = (SIZE.width, SIZE.height)
    own = write_coco(tmp_path / "gold.json", {"photo 0.jpg": [("bolt", [2, 3, 10, 20])]}, size=size)
    wanted = project.settings.updated(experiments__gold=own, experiments__gold_share=0.5)
    with opened_catalog(wanted) as catalog:
        known = known_truth(wanted, catalog)
        assert known is not None
        record_truth(catalog, known, known.found.keys(), wanted.declared_taxonomy or Taxonomy(()))
        before = catalog.gold.read(known.found)
        assert len(before) == 1
    path = write_coco(tmp_path / "truth.json", {"photo 0.jpg": [], "photo 1.jpg": []}, size=size)
    done = import_dataset(wanted, Import(path, "coco", "gold"))
    assert done.images == 1
    assert [(one.uri, one.reason.partition(":")[0]) for one in done.failures] == [
        ("photo 0.jpg", "has its truth from the file of experiments.gold, which goes before imports")
    ]
    assert forget_import(wanted, "truth") == 1
    with opened_catalog(wanted) as catalog:
        assert catalog.gold.read(known.found) == before
    without = project.settings.updated(experiments__gold_share=0.5)  # a file that is named no more gives way
    assert import_dataset(without, Import(path, "coco", "gold")).images == 2
