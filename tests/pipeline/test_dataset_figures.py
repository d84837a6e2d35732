"""The figures of a version: counted once, the same as of the labels that it was made of, and how it grew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from detseg.datasets.figures import DatasetFigures
from detseg.datasets.splits import SplitRule
from detseg.datasets.store import DatasetStore
from detseg.datasets.version import Version
from detseg.pipeline.dataset_figures import VersionFigures, measure_labels, measure_version
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.labels import label_rules
from detseg.pipeline.workspace import opened_catalog
from tests.pipeline.labeled import LabeledProject, belt, bolt, make_project, ring


@pytest.fixture
def project(tmp_path: Path) -> LabeledProject:
    made = make_project(tmp_path)
    made.add(range(4))
    made.review(0, [bolt("a"), ring("b"), belt("c")])
    made.review(1, [bolt("d"), bolt("e", 20)], author="person 2")
    made.review(2)
    return made


def measured(project: LabeledProject, version: Version) -> VersionFigures:
    return measure_version(
        DatasetStore(project.settings.datasets_location), version, project.settings.state_path
    )


def labels_now(project: LabeledProject) -> DatasetFigures:
    with opened_catalog(project.settings) as catalog:
        classes = [one.name for one in project.settings.classes]
        return measure_labels(catalog, project.project(catalog), label_rules(project.settings.queue), classes)


def test_a_version_has_the_figures_of_the_labels_that_it_was_made_of(project: LabeledProject) -> None:
    version = create_version(project.settings, "v1", Wish(split=SplitRule((("train", 1.0),))))
    figures = measured(project, version)
    assert figures.labels.splits == {"train": 3}
    assert figures.labels.per_class["bolt"].objects_by_split == {"train": 3}
    by_class = {name: one.n_objects for name, one in figures.labels.per_class.items()}
    assert by_class == {"bolt": 3, "nut": 1, "belt": 1}
    assert figures.labels.per_class["belt"].pixel_share == pytest.approx(10 / 40 / 3)
    unsplit = {
        name: replace(one, images_by_split={}, objects_by_split={})
        for name, one in figures.labels.per_class.items()
    }
    assert replace(figures.labels, splits={}, per_class=unsplit) == labels_now(project)
    assert figures.lost["yolo"] == {"masks left out": 1, "stuff left out": 1}
    assert figures.lost["coco"] == {}


def test_figures_are_kept_as_long_as_there_is_the_version(project: LabeledProject) -> None:
    version = create_version(project.settings, "v1", Wish())
    kept = project.settings.state_path / "figures" / f"{version.id}.json"
    first = measured(project, version)
    packs = project.settings.state_path / "datasets" / "packs"
    packs.rename(packs.with_name("elsewhere"))  # what is kept needs no rows
    assert measured(project, version) == first
    packs.with_name("elsewhere").rename(packs)
    damaged = json.loads(kept.read_text())
    damaged["lost"]["coco"] = {"crowds": "some"}
    for text in ('{"revision": 0}', json.dumps(damaged)):
        kept.write_text(text)
        assert measured(project, version) == first
    DatasetStore(project.settings.datasets_location).remove("v1")
    project.review(3, [bolt("f")])
    second = create_version(project.settings, "v2", Wish())
    measured(project, second)
    assert [path.stem for path in kept.parent.iterdir()] == [second.id]


def test_growth_ends_with_the_version_that_is_shown(project: LabeledProject) -> None:
    first = create_version(project.settings, "v1", Wish())
    project.review(3, [bolt("f")])
    second = create_version(project.settings, "v2", Wish())
    sizes = [
        [(one.name, one.n_images, one.n_objects) for one in measured(project, version).growth]
        for version in (first, second)
    ]
    assert sizes == [[("v1", 3, 5)], [("v1", 3, 5), ("v2", 4, 6)]]
