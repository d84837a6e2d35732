"""Two models on a split of a dataset version: paired, by images that neither has seen; looks are counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detseg.datasets.splits import SplitRule
from detseg.datasets.store import DatasetStore
from detseg.errors import DatasetError, TrainingError
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.judging import Judged, judge
from detseg.pipeline.named_models import images_behind
from detseg.pipeline.workspace import opened_catalog
from detseg.training.plan import RESULT
from detseg.types import Region
from tests.models import tiny
from tests.pipeline.labeled import SIZE, LabeledProject, bolt
from tests.training.versions import make_version

TRUTH = (bolt("a"), bolt("b", 30))
SIDES = {"train": 2, "val": 1, "test": 12}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LabeledProject:
    """Images with two bolts each, twelve of them in the split test."""
    return make_version(tmp_path_factory.mktemp("judging"), sides=SIDES, regions=TRUTH)


def write_answers(
    project: LabeledProject, name: str, regions: Sequence[Region], *, scores: Sequence[float] = ()
) -> str:
    """A file of predictions with those regions on every image, and the name of the model that it is."""
    images = []
    for number in project.images:
        found = [region.instance for region in regions]
        instances = [
            {"label": one.label, "kind": one.kind, "score": score, "box": one.box.xyxy, "mask": None}
            for one, score in zip(found, scores or [0.9] * len(found), strict=True)
            if one.box is not None
        ]
        images.append(
            {
                "path": str(project.path(number)),
                "width": SIZE.width,
                "height": SIZE.height,
                "instances": instances,
            }
        )
    path = project.settings.root / f"{name}.json"
    path.write_text(json.dumps({"model": {"version": name}, "images": images, "failed": []}))
    return f"results:{path}"


def compare(project: LabeledProject, present: str, candidate: str, **options: Any) -> Judged:
    return judge(project.settings, present, candidate, "v1", **options)


def test_a_model_that_finds_what_another_misses_is_better(project: LabeledProject) -> None:
    half, whole = write_answers(project, "half", TRUTH[:1]), write_answers(project, "whole", TRUTH)
    found = compare(project, half, whole).to_json()
    assert (found["better"], found["images"], found["missing"]) == (True, 12, [])
    value, low, high = found["difference"]["expected_seconds"]
    assert value == 7.0 - 35.0
    assert low < value < high < 0.0
    assert found["difference"]["ap"][0] == pytest.approx(0.495, abs=0.01)
    assert found["per_class"]["bolt"]["present"]["expected_edits"] == 1.0
    assert compare(project, whole, half).judgement.better is False


def test_a_model_beside_itself_differs_by_nothing(project: LabeledProject) -> None:
    model = write_answers(project, "half", TRUTH[:1])
    found = compare(project, model, model).to_json()
    assert found["better"] is None
    assert set(map(tuple, found["difference"].values())) == {(0.0, 0.0, 0.0)}


def test_looks_are_counted_once_for_each_pair(project: LabeledProject) -> None:
    half, whole = write_answers(project, "half", TRUTH[:1]), write_answers(project, "whole", TRUTH)
    none = write_answers(project, "none", ())
    first = compare(project, none, whole).look
    looks = [compare(project, *pair).look for pair in ((none, half), (none, whole), (half, none))]
    assert looks == [first + 1, first, first + 2]


def test_looks_count_where_their_version_was_removed_since(tmp_path: Path) -> None:
    project = make_version(tmp_path, sides={"test": 12}, regions=TRUTH)
    half, whole = write_answers(project, "half", TRUTH[:1]), write_answers(project, "whole", TRUTH)
    none = write_answers(project, "none", ())
    assert compare(project, half, whole).look == 1
    project.add([12], metadata='{"side": "test"}')
    project.review(12, TRUTH)
    create_version(project.settings, "v2", Wish(split=SplitRule(column="side")))
    store = DatasetStore(project.settings.datasets_location)
    (named,) = Path(project.settings.datasets_location, "names").glob("v1*")
    named.unlink()  # which is all that makes a version one
    assert [one.name for one in store.versions()] == ["v2"]
    assert judge(project.settings, none, whole, "v2").look == 2
    assert judge(project.settings, half, whole, "v2").look == 1


def test_the_model_of_preannotate_is_called_present(project: LabeledProject) -> None:
    half, whole = write_answers(project, "half", TRUTH[:1]), write_answers(project, "whole", TRUTH)
    settings = project.settings.updated(model__detector=half)
    assert judge(settings, "present", whole, "v1").judgement.better is True


def test_images_that_are_gone_are_left_out_and_said(project: LabeledProject) -> None:
    first, second = (write_answers(project, name, TRUTH[:1]) for name in ("first", "second"))
    gone = [project.path(number) for number in (5, 6)]
    notes: list[str] = []
    gone[0].rename(gone[0].with_suffix(".gone"))
    assert compare(project, first, first, warn=notes.append).judgement.n_images == 11
    assert any(
        "1 image of 12 of the split test of v1 cannot be read any more, the first: " in note for note in notes
    )
    gone[1].rename(gone[1].with_suffix(".gone"))
    with pytest.raises(DatasetError, match="2 images of 12 of the split test of v1 cannot be read any more"):
        compare(project, second, second)
    for path in gone:
        path.with_suffix(".gone").rename(path)


def test_a_split_that_is_not_there_is_refused(project: LabeledProject) -> None:
    model = write_answers(project, "half", TRUTH[:1])
    with pytest.raises(DatasetError, match="no split 'holdout' to judge by"):
        compare(project, model, model, split="holdout")
    with pytest.raises(DatasetError, match="no dataset version 'v9'"):
        judge(project.settings, model, model, "v9")


def write_training(project: LabeledProject, name: str, *, base: str = "sample", version: str = "") -> Path:
    """A folder in which a training has ended, as far as its lineage goes."""
    folder = project.settings.root / name
    folder.mkdir()
    dataset_id = version or DatasetStore(project.settings.datasets_location).version("v1").id
    plan = {"base": base, "dataset": "v1", "dataset_id": dataset_id}
    (folder / RESULT).write_text(json.dumps({"plan": plan}))
    return folder


def test_images_behind_a_model_are_also_those_of_what_it_began_from(project: LabeledProject) -> None:
    write_training(project, "first")
    write_training(project, "second", base="first")
    notes: list[str] = []
    used = images_behind(project.settings, "second", note=notes.append)
    assert used.keys() == {project.images[number].id for number in range(3)}
    write_training(project, "masks", base="sample-segmenter")
    assert images_behind(project.settings, "masks", note=notes.append).keys() == used.keys()
    assert notes == []
    images_behind(project.settings, "somebody/else", note=notes.append)
    assert notes == [
        "nothing says which images somebody/else learned from: if some are among these, it is judged too well"
    ]


def test_a_version_that_is_gone_hides_what_a_model_has_seen(project: LabeledProject) -> None:
    folder = write_training(project, "orphan", version="0" * 64)
    with pytest.raises(
        DatasetError, match="learned from the dataset version v1, which is not there any more"
    ):
        images_behind(project.settings, "orphan", note=print)
    (folder / RESULT).write_text("{}")
    with pytest.raises(TrainingError, match=r"training.json is not what this detseg writes"):
        images_behind(project.settings, "orphan", note=print)


def test_near_duplicates_of_what_a_model_learned_from_are_left_out(tmp_path: Path) -> None:
    project = make_version(tmp_path, sides=SIDES, regions=TRUTH)
    settings = project.settings.updated(engine__device="cpu", classes=())
    tiny.save("rt_detr", write_training(project, "mine"), labels=("bolt", "nut"))
    half = write_answers(project, "half", TRUTH[:1])
    learned, *others = (project.images[number].id for number in (0, *range(3, 15)))
    assert judge(settings, half, "mine", "v1").judgement.n_images == 12
    with opened_catalog(settings) as catalog:
        of_image = {one.image: one for one in catalog.features.read_all()}
        catalog.features.record([replace(of_image[others[4]], image=learned)])
    notes: list[str] = []
    assert judge(settings, half, "mine", "v1", warn=notes.append).judgement.n_images == 11
    assert "1 image left out: near duplicates of some that helped to make a model" in notes
    with opened_catalog(settings) as catalog:
        catalog.features.record(replace(of_image[others[4]], image=image) for image in others)
    with pytest.raises(DatasetError, match=r"^nothing is left to judge by: all images are near duplicates"):
        judge(settings, half, "mine", "v1")


def test_images_behind_a_model_that_came_from_elsewhere_are_looked_at_or_said(tmp_path: Path) -> None:
    """A version of another machine: this catalog has seen none of its images."""
    project = make_version(tmp_path, sides=SIDES, regions=TRUTH)
    tiny.save("rt_detr", write_training(project, "mine"), labels=("bolt", "nut"))
    half = write_answers(project, "half", TRUTH[:1])
    create_version(project.settings, "v2", Wish("meta.side = test", SplitRule(column="side")))
    shared = {"datasets": project.settings.datasets_location, "engine__device": "cpu", "classes": ()}
    here = project.settings.updated(state_dir=Path("here"), **shared)
    found = judge(here, half, "mine", "v2").to_json()
    assert found["duplicates_unknown"] == {"present": 0, "candidate": 0}
    with opened_catalog(here) as catalog:
        assert catalog.features.missing(project.images[number].id for number in project.images) == ()
    project.path(0).unlink()
    there = project.settings.updated(state_dir=Path("there"), **shared)
    found = judge(there, half, "mine", "v2").to_json()
    assert found["duplicates_unknown"] == {"present": 0, "candidate": 1}
    by_its_own = judge(there, half, "mine", "v1").to_json()  # which has its near duplicates on one side
    assert by_its_own["duplicates_unknown"] == {"present": 0, "candidate": 0}
