"""Experiments on a real Label Studio: who gets what, that nobody can tell, and that it stays so."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from detseg.catalog import Assignment, Catalog, open_catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.evaluate import evaluate
from detseg.pipeline.experiments.gold import say_late_truth
from detseg.pipeline.push import plan_push, push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import DecodedImage, ImageId, Instance, ModelVersion
from tests.pipeline.arms import arms_of, known, make_mixed, push_all, statuses, versions_by_arm
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, write_image
from tests.pipeline.experiments.test_gold import BOX, write_gold
from tests.pipeline.labeled import NOON
from tests.pipeline.reviewing import predicted, tasks_of

NEWER = ModelVersion("fixed@00000002")


@pytest.fixture
def mixed(queue: Settings, catalog: Catalog, folder: Path, tmp_path: Path) -> Settings:
    """A queue with tasks of every arm."""
    return make_mixed(queue, catalog, folder, tmp_path / "gold.json")


def test_every_arm_gets_what_it_is(mixed: Settings, catalog: Catalog, client: LabelStudioClient) -> None:
    report = push_all(mixed, catalog)
    tasks = tasks_of(client, report.project_id)
    arms = arms_of(catalog)
    assert set(arms.values()) == {"assisted", "control", "decoy", "gold"}
    assert len(tasks) == len(report.pushed) == len(arms)
    assert versions_by_arm(catalog, tasks) == {
        "assisted": {(VERSION,)},
        "control": {()},
        "decoy": {(VERSION,)},
        "gold": {(VERSION,)},
    }
    n_results = {"assisted": 3, "gold": 3}  # a mask, a box, a mask
    for task in tasks:
        arm = arms[task["data"]["image_id"]]
        if arm in n_results:
            assert len(predicted(task)) == n_results[arm]
        elif arm == "decoy":
            (assigned,) = catalog.arms.of_images(
                known(catalog).key, [ImageId(task["data"]["image_id"])]
            ).values()
            (decoy,) = assigned.decoys
            ids = {str(result["id"]).rsplit("-", 1)[0] for result in predicted(task)}
            assert len(ids) == 4
            assert decoy.region.id in ids
    gold = catalog.gold.read(ImageId(image) for image, arm in arms.items() if arm == "gold")
    assert len(gold) == Counter(arms.values())["gold"]
    assert {len(truth.regions) for truth in gold.values()} == {1}
    counts = catalog.arms.counts(known(catalog).key)
    assert counts == Counter(arms.values())
    assert report.arms == counts


def shape(value: Any) -> Any:
    """The names and types of JSON, without its values."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(one), sort_keys=True) for one in value})
    return type(value).__name__


def test_nothing_tells_the_arms_apart(mixed: Settings, catalog: Catalog, client: LabelStudioClient) -> None:
    project = push_all(mixed, catalog).project_id
    arms = arms_of(catalog)
    tasks = [client.task(task) for task in client.task_ids(project)]
    data = {arms[task["data"]["image_id"]]: shape(task["data"]) for task in tasks}
    assert len(data) == 4
    assert len({json.dumps(one, sort_keys=True) for one in data.values()}) == 1
    usual = next(task for task in tasks if arms[task["data"]["image_id"]] == "assisted")
    results: dict[str, set[str]] = {}
    for task in tasks:
        arm = arms[task["data"]["image_id"]]
        folder, name = str(task["data"]["image"]).rsplit("/", 1)[0], task["data"]["file"]
        assert (folder, task["data"]["source"]) == (
            str(tasks[0]["data"]["image"]).rsplit("/", 1)[0],
            {"names": [name]} if name not in ("0.png", "again.png") else {"names": ["0.png", "again.png"]},
        )
        others = {key: shape(one) for key, one in task.items() if key not in ("data", "predictions")}
        assert others == {key: shape(usual[key]) for key in others} or arm == "control"
        for prediction in task["predictions"]:
            assert prediction["model_version"] == VERSION
            assert 0.0 < prediction["score"] < 1.0
            ids = [result["id"] for result in prediction["result"]]
            assert {len(one) for one in ids} == {27, 28}  # detseg-16 digits-box, -mask
            scores = [result["score"] for result in prediction["result"]]
            assert all(len(repr(score)) <= 4 for score in scores)  # like 0.85, as the model's
            kinds = {json.dumps(shape(one), sort_keys=True) for one in prediction["result"]}
            results.setdefault(arm, set()).update(kinds)
    assert results["decoy"] == results["assisted"] == results["gold"]
    words = json.dumps(tasks).lower()
    assert not any(word in words for word in ("decoy", "control", "gold", "assisted", "experiment"))


@pytest.mark.parametrize("how", ["add", "replace"])
def test_a_second_version_finds_control_images_and_decoys_in_their_place(
    mixed: Settings, catalog: Catalog, client: LabelStudioClient, how: str
) -> None:
    queue = mixed.updated(queue__predictions=how)
    project = push_all(queue, catalog).project_id
    before = {task["id"]: task for task in tasks_of(client, project)}
    arms = arms_of(catalog)
    n_control = Counter(arms.values())["control"]
    foreseen = plan_push(queue, catalog, refs=scan(queue, catalog).images, version=VERSION, taxonomy=TAXONOMY)
    assert statuses(foreseen) == {"present": len(before)}
    report = push_all(queue, catalog, NEWER)
    assert statuses(report) == {
        "added" if how == "add" else "replaced": len(before) - n_control,
        "present": n_control,
    }
    tasks = tasks_of(client, project)
    both = {(VERSION, NEWER) if how == "add" else (NEWER,)}
    assert versions_by_arm(catalog, tasks) == {"assisted": both, "control": {()}, "decoy": both, "gold": both}
    for task in tasks:
        if arms[task["data"]["image_id"]] == "decoy":
            assert {len(one["result"]) for one in task["predictions"]} == {len(predicted(before[task["id"]]))}
    assert statuses(push_all(queue, catalog, NEWER)) == {"present": len(before)}


@pytest.fixture
def all_control(queue: Settings) -> Settings:
    """All images are control images."""
    return queue.updated(experiments__control_share=1.0)


def test_control_images_stay_control_images_whatever_the_settings_say_later(
    all_control: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(all_control, catalog).project_id
    assisted = all_control.updated(experiments__control_share=0.0)
    for version in (VERSION, NEWER):
        assert statuses(push_all(assisted, catalog, version)) == {"present": 5}
    first, second, *_ = client.task_ids(project)
    client.delete_task(first)
    client.delete_task(second)
    restoring = assisted.updated(queue__restore=True)
    refs = scan(restoring, catalog).images
    said = plan_push(restoring, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    report = push_all(restoring, catalog)
    assert statuses(report) == statuses(said) == {"pushed": 2, "present": 3}
    assert [task["predictions"] for task in tasks_of(client, project)] == [[]] * 5
    assert set(arms_of(catalog).values()) == {"control"}


def test_a_dry_run_draws_no_lots(all_control: Settings, catalog: Catalog) -> None:
    refs = scan(all_control, catalog).images
    predict_shard(all_control, catalog, FixedPredictor(), refs)
    said = plan_push(all_control, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert statuses(said) == {"pushed": 5}
    assert catalog.projects.all() == ()
    push_all(all_control, catalog)
    assert catalog.arms.counts(known(catalog).key)["control"] == 5


@pytest.mark.parametrize("arrived", [True, False])
def test_control_images_stay_so_where_a_push_was_killed(
    all_control: Settings, catalog: Catalog, client: LabelStudioClient, arrived: bool
) -> None:
    impatient = all_control.updated(label_studio__patience_s=0.0)
    refs = scan(all_control, catalog).images
    predict_shard(all_control, catalog, FixedPredictor(), refs)
    project = push(all_control, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY).project_id
    rest = [ref.id for ref in refs[1:]]
    lots = [Assignment(image, "control") for image in rest]
    catalog.tasks.open_push(known(catalog).key, rest, VERSION, arms=lots)  # and then: killed
    if arrived:
        data = client.task(client.task_ids(project)[0])["data"]
        client.import_tasks(project, [{"data": {**data, "image_id": image}} for image in rest])
    assisted = impatient.updated(experiments__control_share=0.0)
    report = push_all(assisted, catalog)
    assert statuses(report) == ({"present": 5} if arrived else {"present": 1, "pushed": 4})
    assert [task["predictions"] for task in tasks_of(client, project)] == [[]] * 5
    assert statuses(push_all(assisted, catalog, NEWER)) == {"present": 5}


def test_what_was_there_before_is_no_part_of_an_experiment(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    client.delete_task(client.task_ids(project)[0])
    later = queue.updated(experiments__control_share=0.5, experiments__decoy_share=0.5, queue__restore=True)
    assert statuses(push_all(later, catalog)) == {"pushed": 1, "present": 4}
    assert [len(predicted(task)) for task in tasks_of(client, project)] == [3] * 5
    assert statuses(push_all(later, catalog, NEWER)) == {"added": 5}
    assert set(arms_of(catalog).values()) == {"assisted"}


def test_truth_of_a_file_that_is_named_when_its_images_are_tasks_is_said_to_be_late(
    queue: Settings, catalog: Catalog, tmp_path: Path
) -> None:
    first, second, *_ = (Path(ref.uri).name for ref in scan(queue, catalog).images)
    assert list(push_all(queue, catalog).warnings) == []
    write_gold(tmp_path / "gold.json", {first: [BOX], second: []})
    named = queue.updated(experiments__gold=tmp_path / "gold.json", experiments__gold_share=0.2)
    assert list(push_all(named, catalog).warnings) == [say_late_truth(2)]
    report = evaluate(named, catalog, out=tmp_path / "report.html", now=NOON)
    assert report.result.basis.n_late_truth == 2
    assert say_late_truth(2) in report.to_json()["notes"]


def test_tasks_of_somebody_else_are_assisted(
    all_control: Settings, catalog: Catalog, client: LabelStudioClient, document_root: Path
) -> None:
    project = push_all(all_control.updated(experiments__control_share=0.0), catalog).project_id
    url = str(client.task(client.task_ids(project)[0])["data"]["image"]).rsplit("/", 1)[0]
    write_image(document_root / url.partition("?d=")[2] / "theirs.png", seed=99)
    client.import_tasks(project, [{"data": {"image": f"{url}/theirs.png"}}])
    queued = all_control.updated(source__location=f"labelstudio://{all_control.queue.project}")
    report = push_all(queued, catalog)
    assert statuses(report) == {"present": 5, "added": 1}
    assert set(arms_of(catalog).values()) == {"assisted"}


def test_lots_are_drawn_again_where_the_catalog_was_lost(
    mixed: Settings, catalog: Catalog, client: LabelStudioClient, tmp_path: Path
) -> None:
    project = push_all(mixed, catalog).project_id
    before = versions_by_arm(catalog, tasks_of(client, project))
    with open_catalog(f"sqlite:///{tmp_path / 'new.sqlite3'}") as fresh:
        # the gold images in the queue are not known as such before their tasks are found
        everything = mixed.updated(experiments__gold_share=0.0, experiments__gold=None)
        refs = scan(everything, fresh).images
        for version in (VERSION, NEWER):
            predict_shard(mixed, fresh, FixedPredictor(version), refs)
            push(mixed, fresh, refs=refs, version=version, taxonomy=TAXONOMY)
        found, expected = arms_of(fresh), arms_of(catalog)
        assert {image: found[image] for image in expected} == expected
        after = versions_by_arm(fresh, tasks_of(client, project))
        old, new = known(catalog).key, known(fresh).key
        assert fresh.arms.of_images(new, map(ImageId, expected)) == catalog.arms.of_images(
            old, map(ImageId, expected)
        )
    assert before["control"] == {()}
    assert after["control"] == {()}


class EmptyPredictor(FixedPredictor):
    """Sees nothing at all."""

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        return tuple(() for _ in batch)


def test_where_nothing_can_be_planted_nothing_is(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    queue = queue.updated(experiments__decoy_share=1.0)
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, EmptyPredictor(), refs)
    project = push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY).project_id
    assert [predicted(task) for task in tasks_of(client, project)] == [[]] * 5
    found = catalog.arms.of_images(known(catalog).key, [ref.id for ref in refs])
    assert {(one.arm, one.decoys) for one in found.values()} == {("decoy", ())}
