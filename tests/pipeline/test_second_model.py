"""Another model's predictions, and the tasks that people have worked on: none where nobody else is asked."""

from __future__ import annotations

from collections import Counter

import pytest

from detseg.catalog import Catalog, open_catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import ModelVersion
from tests.pipeline.conftest import VERSION, FixedPredictor
from tests.pipeline.foreseen import push_as_foreseen
from tests.pipeline.reviewing import fill_queue, submit, tasks_of

NEXT = ModelVersion("next@00000002")


def work(queue: Settings, catalog: Catalog, client: LabelStudioClient, project: int) -> None:
    """Of five tasks, the first is labeled and collected, the next labeled after that, one is skipped, one has
    a draft."""
    collected, late, skipped, begun, _ = tasks_of(client, project)
    submit(client, collected)
    collect_reviews(queue, catalog)
    submit(client, late)
    submit(client, skipped, was_cancelled=True)
    client.session.json("POST", f"/api/tasks/{begun['id']}/drafts", body={"result": []})


def push_next(queue: Settings, catalog: Catalog) -> Counter[str]:
    """Push the next model's predictions; what became of the images."""
    refs = tuple(scan(queue, catalog).images)
    predict_shard(queue, catalog, FixedPredictor(version=NEXT), refs)
    return +Counter(push_as_foreseen(queue, catalog, refs, NEXT).counts)


def versions(client: LabelStudioClient, project: int) -> list[list[str]]:
    return [sorted(one["model_version"] for one in task["predictions"]) for task in tasks_of(client, project)]


@pytest.mark.parametrize("how", ["add", "replace"])
@pytest.mark.parametrize("asked_for", [False, True])
def test_tasks_that_people_have_labeled_keep_what_they_have(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, how: str, asked_for: bool
) -> None:
    project = fill_queue(queue, catalog)
    work(queue, catalog, client, project)
    settings = queue.updated(queue__predictions=how, queue__predict_reviewed=asked_for)
    done = push_next(settings, catalog)
    both, last = [VERSION, NEXT], [VERSION, NEXT] if how == "add" else [NEXT]
    n_labeled = 0 if asked_for else 2
    assert done == +Counter(
        added=(5 if how == "add" else 4) - n_labeled, replaced=how == "replace", reviewed=n_labeled
    )
    assert versions(client, project) == [*[both if asked_for else [VERSION]] * 2, both, both, last]
    assert push_next(settings, catalog) == +Counter(present=5 - n_labeled, reviewed=n_labeled)


def test_a_task_that_waits_for_another_person_gets_what_that_one_is_shown(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    """In the label stream, a task shows the predictions of the project's model version alone."""
    settings = queue.updated(queue__overlap=2)
    project = fill_queue(settings, catalog)
    work(settings, catalog, client, project)
    assert push_next(settings, catalog) == Counter(added=5)
    assert versions(client, project) == [[VERSION, NEXT]] * 5


def test_a_catalog_that_is_lost_makes_no_labeled_task_a_waiting_one(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = fill_queue(queue, catalog)
    work(queue, catalog, client, project)
    changed = queue.updated(state_dir=str(queue.state_path.with_name("another")))
    changed.state_path.mkdir()
    with open_catalog(changed.catalog_url) as new:
        assert push_next(changed, new) == Counter(added=3, reviewed=2)
