"""Versions of a project's labels: what goes in, what stays as it was, what is shared, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detseg.datasets.sample import decode_sample
from detseg.datasets.splits import SplitRule
from detseg.datasets.store import DatasetStore
from detseg.datasets.version import Version
from detseg.errors import CatalogError, ConfigError, DatasetError
from detseg.pipeline.datasets import Wish, create_version, trace_image
from detseg.pipeline.labels import label_rules, read_labels
from detseg.pipeline.workspace import opened_catalog
from tests.pipeline.labeled import LabeledProject, belt, bolt, make_project, ring

HALVES = SplitRule((("train", 0.5), ("val", 0.5)))


@pytest.fixture
def project(tmp_path: Path) -> LabeledProject:
    """Six images: labeled, labeled, empty, skipped, labeled by a program, never opened."""
    made = make_project(tmp_path)
    made.add(range(6))
    made.review(0, [bolt("a"), ring("b"), belt("c")])
    made.review(1, [bolt("d", label="nut")], author="person 2")
    made.review(2)
    made.review(3, state="skipped")
    made.review(4, [bolt("e")], simulated=True)
    return made


def contents(project: LabeledProject, version: Version) -> dict[int, set[str]]:
    """The ids of the regions of each image, by its number."""
    numbers = {image.id: number for number, image in project.images.items()}
    rows = map(decode_sample, DatasetStore(project.settings.datasets_location).rows(version))
    return {numbers[row.image]: {region.id for region in row.annotation().regions} for row in rows}


def packs(project: LabeledProject) -> set[str]:
    return {path.stem for path in (project.settings.state_path / "datasets" / "packs").iterdir()}


def test_what_people_said_is_in_and_the_rest_is_counted(project: LabeledProject) -> None:
    version = create_version(project.settings, "v1", Wish())
    assert contents(project, version) == {0: {"a", "b", "c"}, 1: {"d"}, 2: set()}
    assert version.counts.states == {"labeled": 2, "empty": 1}
    assert version.counts.regions_by_class == {"belt": 1, "bolt": 1, "nut": 2}
    assert version.counts.left_out == {"skipped": 1, "simulated": 1, "unlabeled": 1}
    assert create_version(project.settings, "v2", Wish(simulated=True)).counts.images == 4


def test_equal_labels_have_one_id_and_no_file_of_their_own(project: LabeledProject) -> None:
    first = create_version(project.settings, "v1", Wish())
    before = packs(project)
    second = create_version(project.settings, "v2", Wish())
    assert (second.id, second.name, packs(project)) == (first.id, "v2", before)
    other = create_version(project.settings, "v3", Wish(split=HALVES))
    assert other.id != first.id
    assert packs(project) == before


def test_a_version_stays_what_it_was_and_a_new_one_costs_what_changed(project: LabeledProject) -> None:
    first = create_version(project.settings, "v1", Wish())
    project.review(1, [bolt("d", 20)])
    second = create_version(project.settings, "v2", Wish())
    assert contents(project, first) == contents(project, second)
    (own,) = second.packs.keys() - first.packs.keys()
    assert second.packs[own] == 1
    assert first.id != second.id
    assert second.parent == first.id


def test_what_made_a_label_otherwise_is_seen(project: LabeledProject) -> None:
    """Other rules, another place or word of the source, another reviewer: none of it is taken over."""
    one = create_version(project.settings, "v1", Wish(simulated=True))
    assert create_version(project.settings, "v2", Wish()).counts.images == one.counts.images - 1
    project.add([0], metadata=json.dumps({"camera": "3"}))
    create_version(project.settings, "v3", Wish())
    (trace,) = [
        t
        for t in trace_image(DatasetStore(project.settings.datasets_location), "photo 0.jpg")
        if t.version.name == "v3"
    ]
    assert json.loads(trace.sample.metadata) == {"camera": "3"}


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("class = bolt", {0}),
        ("class = bolt, nut", {0, 1}),
        ("class != bolt", {1, 2}),
        ("state = empty", {2}),
        ("author = person 2", {1}),
        ("author = person 2 and class = bolt", set()),
        ("updated >= 2026-03-01", {0, 1, 2}),
        ("updated < 2026-03-01", set()),
        ("author = import:old@home", set()),
        ("meta.camera = 7", {1}),
        ("meta.camera != 7", {0, 2}),
    ],
)
def test_a_filter_chooses_images(project: LabeledProject, where: str, numbers: set[int]) -> None:
    project.add([1], metadata=json.dumps({"camera": 7}))
    create_version(project.settings, "all", Wish())  # so that rows that are taken over are filtered, too
    if not numbers:
        with pytest.raises(DatasetError, match=r"no label to put into a version \(left out: .*filter 3"):
            create_version(project.settings, "v1", Wish(where))
        return
    version = create_version(project.settings, "v1", Wish(where))
    assert contents(project, version).keys() == numbers
    assert version.recipe.where == where


@pytest.mark.parametrize(
    "where", ["colour = red", "class", "class < bolt", "updated = soon", "author != anna@example.org"]
)
def test_a_filter_that_says_nothing_is_refused(project: LabeledProject, where: str) -> None:
    with pytest.raises(ConfigError, match="--where"):
        create_version(project.settings, "v1", Wish(where))


def test_names_are_taken_once_and_spelled_plainly(project: LabeledProject) -> None:
    create_version(project.settings, "v1", Wish())
    for name in ("v1", "", "../v1", "a b", ".hidden", "x" * 101):
        with pytest.raises(DatasetError, match="already" if name == "v1" else "no name"):
            create_version(project.settings, name, Wish())


def test_a_project_without_labels_is_refused(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with pytest.raises(CatalogError, match="knows no project 'detseg'"):
        create_version(project.settings, "v1", Wish())
    project.add(range(2))
    with pytest.raises(DatasetError, match=r"no label to put into a version \(left out: unlabeled 2\)"):
        create_version(project.settings, "v1", Wish())
    assert DatasetStore(project.settings.datasets_location).versions() == ()


def test_a_label_of_no_class_is_refused(project: LabeledProject) -> None:
    project.review(0, [bolt("a", label="gear")])
    with pytest.raises(DatasetError, match=r"'gear'.*\[\[classes\]\]"):
        create_version(project.settings, "v1", Wish())


def test_where_a_label_is_from(project: LabeledProject) -> None:
    create_version(project.settings, "v1", Wish())
    image = project.images[1]
    for name in (image.id, image.id[7:20], image.entry.uri, "photo 1.jpg"):
        (trace,) = trace_image(DatasetStore(project.settings.datasets_location), name)
        assert trace.sample.image == image.id
        assert trace.sample.authors == ("person 2",)
        assert trace.sample.reviews == (2,)
        assert trace.sample.model_versions == ("fixed@00000001",)
    with pytest.raises(DatasetError, match=r"no dataset version .* has an image 'photo 9.jpg'"):
        trace_image(DatasetStore(project.settings.datasets_location), "photo 9.jpg")


def test_every_label_is_in_as_the_rules_read_it(project: LabeledProject) -> None:
    """One person's word, several people's, and a planted region: all as ``read_labels`` yields them."""
    several = project.settings.updated(queue__overlap=2)
    project.review(0, [bolt("a", 2.5), ring("b2")], author="person 2")
    project.review(2, [belt("c2")], author="person 2")
    for settings in (project.settings, several):
        version = create_version(settings, f"v{settings.queue.overlap}", Wish())
        rows = map(decode_sample, DatasetStore(settings.datasets_location).rows(version))
        with opened_catalog(settings) as catalog:
            labels = list(read_labels(catalog, project.project(catalog), label_rules(settings.queue)))
        wanted = [label for label in labels if not label.simulated]
        assert [row.annotation() for row in rows] == [label.annotation for label in wanted]
        assert len(wanted) == (3 if settings is project.settings else 1)
