"""Labels of before in the classes of now: read so everywhere, and left as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detseg.cli.app import app
from detseg.config import ClassSettings, Settings, load_settings, settings_template
from detseg.datasets.differences import compare_versions
from detseg.datasets.sample import decode_sample
from detseg.datasets.store import DatasetStore
from detseg.errors import ConfigError, DatasetError
from detseg.pipeline.dataset_folders import WriteOptions
from detseg.pipeline.datasets import Wish, create_version, describe_taxonomy
from detseg.pipeline.evaluate import qa
from detseg.pipeline.export import export_version
from detseg.pipeline.labels import LabelRules, read_labels
from detseg.pipeline.taxonomy import taxonomy_log
from detseg.pipeline.workspace import notice_changes, opened_catalog
from detseg.types import Annotation
from tests.pipeline.labeled import SIZE, VERSION, LabeledProject, belt, bolt, make_project, ring

CLASSES = '[[classes]]\nname = "screw"\n[[classes]]\nname = "belt"\nkind = "stuff"\n'
CHANGES = """
[[taxonomy.changes]]
id = "1-merge"
date = 2026-11-01
kind = "merge"
old = ["bolt", "stud"]
new = "pin"
reason = "nobody could tell them apart"
[[taxonomy.changes]]
id = "2-rename"
date = 2026-11-02
kind = "rename"
old = "pin"
new = "screw"
reason = "the catalogue's word"
[[taxonomy.changes]]
id = "3-drop"
date = 2026-11-03
kind = "drop"
old = "nut"
reason = "nobody asks for them"
"""
SPLIT = """
[[taxonomy.changes]]
id = "4-split"
date = 2026-11-04
kind = "split"
old = "screw"
new = ["hex", "torx"]
reason = "two suppliers"
"""


@pytest.fixture
def project(tmp_path: Path) -> LabeledProject:
    """Four images: a bolt, a nut and a belt; a stud; a nut alone; nothing."""
    made = make_project(tmp_path)
    made.add(range(4))
    made.review(0, [bolt("a"), ring("b"), belt("c")])
    made.review(1, [bolt("d", label="stud")])
    made.review(2, [ring("e")])
    made.review(3)
    return made


def settings_of(project: LabeledProject, text: str) -> Settings:
    file = project.settings.root / "detseg.toml"
    file.write_text(text)
    return load_settings(file, environ={})


def labels_of(settings: Settings, project: LabeledProject) -> dict[int, list[str]]:
    numbers = {image.id: number for number, image in project.images.items()}
    with opened_catalog(settings) as catalog:
        return {
            numbers[one.image]: [region.instance.label for region in one.annotation.regions]
            for one in read_labels(catalog, project.project(catalog), LabelRules())
        }


def test_old_reviews_are_read_in_the_classes_of_now_and_stay_as_they_are(project: LabeledProject) -> None:
    with opened_catalog(project.settings) as catalog:
        before = list(catalog.reviews.latest_stored(project.project(catalog).key))
    settings = settings_of(project, CLASSES + CHANGES)
    assert labels_of(settings, project) == {0: ["screw", "belt"], 1: ["screw"], 2: [], 3: []}
    with opened_catalog(settings) as catalog:
        key = project.project(catalog).key
        states = catalog.reviews.states(key)
        assert (states["labeled"], states["empty"]) == (2, 2)  # of the nut alone nothing is left
        assert list(catalog.verbatim().reviews.latest_stored(key)) == before
    version = create_version(settings, "v1", Wish())
    assert version.counts.regions_by_class == {"belt": 1, "screw": 2}
    assert version.counts.states == {"labeled": 2, "empty": 2}
    assert [one.id for one in version.recipe.changes] == ["1-merge", "2-rename", "3-drop"]
    assert DatasetStore(settings.datasets_location).version("v1").recipe == version.recipe
    rows = map(decode_sample, DatasetStore(settings.datasets_location).rows(version))
    assert all(row.annotation().state == row.state for row in rows)


def test_a_change_is_no_work_of_people(project: LabeledProject) -> None:
    """What a model said in the old words and a person left is accepted, as it was before the change."""
    with opened_catalog(project.settings) as catalog:
        predictions = [
            Annotation(project.images[0].id, SIZE, VERSION, "labeled", (bolt("a"), ring("b"), belt("c"))),
            Annotation(project.images[1].id, SIZE, VERSION, "labeled", (bolt("d", label="stud"),)),
        ]
        catalog.predictions.record(predictions)
    settings = settings_of(project, CLASSES + CHANGES)
    edits = qa(settings).result.work.edits
    counts = edits.all.counts
    assert (counts.kept, counts.relabeled, counts.deleted, counts.added) == (3, 0, 0, 0)
    assert edits.per_class.keys() == {"screw", "belt"}


def test_a_split_takes_images_out_until_people_looked_again(project: LabeledProject) -> None:
    classes = CLASSES.replace("screw", "hex") + '[[classes]]\nname = "torx"\n'
    settings = settings_of(project, classes + CHANGES + SPLIT)
    assert labels_of(settings, project) == {2: [], 3: []}
    version = create_version(settings, "v1", Wish())
    assert version.counts.left_out == {"split": 2}
    project.review(1, [bolt("d", label="torx")])
    assert labels_of(settings, project) == {1: ["torx"], 2: [], 3: []}
    assert create_version(settings, "v2", Wish()).counts.regions_by_class == {"torx": 1}


def test_a_late_review_with_an_old_name_is_read_alike(project: LabeledProject) -> None:
    settings = settings_of(project, CLASSES + CHANGES)
    create_version(settings, "v1", Wish())
    project.review(3, [bolt("f")])
    assert create_version(settings, "v2", Wish()).counts.regions_by_class == {"belt": 1, "screw": 3}


def test_settings_are_written_and_read_with_their_changes(project: LabeledProject) -> None:
    settings = settings_of(project, CLASSES + CHANGES)
    again = settings_of(project, settings_template(settings))
    assert (again.changes, again.classes) == (settings.changes, settings.classes)
    assert settings.declared_taxonomy is not None
    assert settings.declared_taxonomy["bolt"].name == "screw"  # models go on saying so


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CHANGES, r"\[\[taxonomy.changes\]\] need the classes|leads to 'screw', which is unknown"),
        (CLASSES + CHANGES.replace('"drop"', '"delete"'), r"detseg.toml: taxonomy.changes.2.kind"),
        (CLASSES + CHANGES.replace('reason = "nobody asks for them"', ""), "taxonomy.changes.2.reason"),
        (CLASSES + CHANGES.replace("2026-11-03", '"soon"'), "taxonomy.changes.2.date"),
        (CLASSES + CHANGES.replace("[[taxonomy.changes]]", "[[taxonomy.change]]"), "did you mean"),
    ],
)
def test_changes_that_cannot_be_are_one_line(project: LabeledProject, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught, opened_catalog(settings_of(project, text)):
        pass
    assert "\n" not in str(caught.value)


def test_a_label_that_no_change_explains_is_still_refused(project: LabeledProject) -> None:
    settings = settings_of(project, CLASSES.replace("screw", "pin") + CHANGES.partition("[[taxonomy")[0])
    with pytest.raises(DatasetError, match="no class of the project"):
        create_version(settings, "v1", Wish())


def test_a_difference_is_read_under_the_later_taxonomy(project: LabeledProject) -> None:
    """Both ways round: what a change renamed is no difference, what a person changed is one."""
    before = project.settings.updated(classes=(*project.settings.classes, ClassSettings(name="stud")))
    old = create_version(before, "v1", Wish())
    project.review(1, [bolt("d", 20, label="stud")])
    settings = settings_of(project, CLASSES + CHANGES)
    new = create_version(settings, "v2", Wish())
    for one, other in ((old, new), (new, old)):
        found = compare_versions(DatasetStore(settings.datasets_location), one, other)
        assert [image.image for image in found.images] == [project.images[1].id]
        assert found.by_class == {"screw": {"added": 0, "removed": 0, "changed": 1}}
        assert found.n_relabeled == 2  # images 0 and 2: a bolt and nuts
        assert found.taxonomy_note.startswith(
            "both are read under the taxonomy of v2 (merge bolt + stud > pin"
        )
    elsewhere = settings_of(project, CLASSES + CHANGES.replace("1-merge", "1-other"))
    strange = create_version(elsewhere, "v3", Wish())
    assert (
        "neither follows from the other"
        in compare_versions(DatasetStore(settings.datasets_location), new, strange).taxonomy_note
    )
    log = taxonomy_log(settings)
    assert [(one.change.id, one.n_regions) for one in log.changes] == [
        ("1-merge", 2),
        ("2-rename", 0),
        ("3-drop", 2),
    ]
    assert [(one.name, one.lacks, one.unknown) for one in log.versions] == [
        ("v1", ("1-merge", "2-rename", "3-drop"), ()),
        ("v2", (), ()),
        ("v3", ("1-merge",), ("1-other",)),
    ]


def test_a_run_with_an_older_file_is_told_once(project: LabeledProject) -> None:
    """As is who took a change back; the run after it has nothing to say."""

    def noticed(settings: Settings) -> list[str]:
        with opened_catalog(settings) as catalog:
            return list(notice_changes(settings.changes, catalog, project.project(catalog)))

    newer, older = settings_of(project, CLASSES + CHANGES), project.settings
    assert noticed(older) == noticed(newer) == noticed(newer) == []
    (line,) = noticed(older)
    assert "(1-merge, 2-rename, 3-drop)" in line
    assert noticed(older) == []
    reworded = settings_of(project, CLASSES + CHANGES.replace("the catalogue's word", "see the catalogue"))
    assert noticed(newer) == noticed(reworded) == []


def test_versions_of_another_taxonomy_say_so(project: LabeledProject) -> None:
    before = project.settings.updated(classes=(*project.settings.classes, ClassSettings(name="stud")))
    old = create_version(before, "v1", Wish())
    settings = settings_of(project, CLASSES + CHANGES)
    new = create_version(settings, "v2", Wish())
    assert describe_taxonomy(new, settings.changes) == describe_taxonomy(old, before.changes) == ""
    assert "before the classes changed (1-merge, 2-rename, 3-drop)" in describe_taxonomy(
        old, settings.changes
    )
    assert "under changes that these settings lack (1-merge" in describe_taxonomy(new, before.changes)
    said: list[str] = []
    out = project.settings.root / "out"
    export_version(settings, "v1", "coco", out, options=WriteOptions("none"), warn=said.append)
    assert describe_taxonomy(old, settings.changes) in said


def test_images_that_await_a_split_are_counted_by_every_name_of_it(project: LabeledProject) -> None:
    classes = CLASSES.replace("screw", "hex") + '[[classes]]\nname = "torx"\n'
    settings = settings_of(project, classes + CHANGES + SPLIT)
    with opened_catalog(settings) as catalog:
        key = project.project(catalog).key
        assert catalog.relabeling.means("screw") == {"screw", "pin", "bolt", "stud"}
        assert catalog.reviews.count_with(key, catalog.relabeling.means("screw")) == 2
        assert catalog.reviews.count_with(key, ["bol", "bolt%"]) == 0


def test_the_commands_say_what_changed(
    project: LabeledProject, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.settings.root)
    settings = settings_of(project, CLASSES + CHANGES)
    create_version(settings, "v1", Wish())
    app(["taxonomy", "log"], standalone_mode=False)
    said = capfd.readouterr().out
    assert "2026-11-01 1-merge: merge bolt + stud > pin (2 regions of before)" in said
    assert "v1, made" in said
    assert "under the taxonomy of now" in said
    app(["taxonomy", "log", "--json"], standalone_mode=False)
    found = json.loads(capfd.readouterr().out)
    assert [one["regions"] for one in found["changes"]] == [2, 0, 2]
    assert (found["classes"], found["versions"][0]["changes"]) == (
        ["screw", "belt"],
        ["1-merge", "2-rename", "3-drop"],
    )
    classes = CLASSES.replace("screw", "hex") + '[[classes]]\nname = "torx"\n'
    settings_of(project, classes + CHANGES + SPLIT)
    app(["taxonomy", "apply", "--dry-run"], standalone_mode=False)
    said = capfd.readouterr().out
    assert "4-split (split screw > hex | torx): 2 images with 2 regions to look at again" in said
    assert "marks: 2 would get them now, 0 not" in said
    settings_of(project, CLASSES.replace("screw", "bolt"))
    with pytest.raises(ConfigError, match=r"no \[\[taxonomy.changes\]\] to apply"):
        app(["taxonomy", "apply", "--dry-run"], standalone_mode=False)
