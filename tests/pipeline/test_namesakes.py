"""Several projects of one title on a real Label Studio: a project that came twice, late, or is somebody's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import plan_push
from tests.pipeline.conftest import TAXONOMY, VERSION
from tests.pipeline.test_push import push_all, statuses


def deliver_again(client: LabelStudioClient, project: int) -> int:
    """The request that made the project, carried out once more."""
    made = client.project(project)
    return client.create_project(made.title, made.label_config).id


def numbers(client: LabelStudioClient, queue: Settings) -> list[int]:
    return [found.id for found in client.find_projects(queue.queue.project)]


def test_a_project_that_came_twice_is_made_one_and_it_is_said(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    spare = deliver_again(client, project)
    again = push_all(queue, catalog)
    assert statuses(again) == {"present": 5}
    assert again.warnings == (
        f"a request was carried out more than once: project {queue.queue.project!r} was there twice, "
        f"and the empty one (id {spare}) was removed",
    )
    assert numbers(client, queue) == [project]
    assert push_all(queue, catalog).warnings == ()


def test_a_renamed_project_is_not_made_anew(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    project = push_all(queue, catalog).project_id
    queue = queue.updated(label_studio__patience_s=0.5)  # with the request that made it
    title = f"{queue.queue.project} 2"
    client.update_project(project, title=title)
    refused = partial(
        pytest.raises, LabelStudioError, match=rf"is called '{title}' now: set queue\.project to that"
    )
    with refused():
        push_all(queue, catalog)
    with refused():
        plan_push(queue, catalog, refs=(), version=VERSION, taxonomy=TAXONOMY)
    assert numbers(client, queue) == []
    again = push_all(queue.updated(queue__project=title), catalog)
    assert (again.project_id, statuses(again)) == (project, {"present": 5})
    other = push_all(queue, catalog)  # the old title is nobody's now
    assert other.project_id != project
    assert statuses(other) == {"pushed": 5}


@pytest.mark.parametrize("late", [True, False], ids=["comes late", "has a task"])
def test_what_may_be_somebodys_stays_and_ours_goes_on(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, late: bool
) -> None:
    project = push_all(queue, catalog).project_id
    other = deliver_again(client, project)
    if late:
        long_ago = datetime.now(UTC) - timedelta(hours=2)
        catalog.cursors.set(f"project {queue.queue.project} on {client.url} asked for", long_ago.isoformat())
    else:
        client.import_tasks(other, [{"data": {"image": "/static/images/logo.png"}}])
    (task, *_) = client.task_ids(project)
    client.create_annotation(task, [], lead_time_s=1.0)
    pushed, collected = push_all(queue, catalog), collect_reviews(queue, catalog)
    assert statuses(pushed) == {"present": 5}
    assert (collected.project_id, collected.new) == (project, 1)
    assert pushed.warnings == collected.warnings
    (line,) = pushed.warnings
    assert line.startswith(
        f"2 projects on {client.url} are called {queue.queue.project!r}: the one that the catalog"
    )
    assert f"is id {project}; rename or delete the others (id {other})" in line
    assert numbers(client, queue) == [project, other]


def test_nobody_knows_which_of_two_is_ours_without_a_catalog(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    for config in ("<View/>", "<View><Header value='another'/></View>"):
        client.create_project(queue.queue.project, config)
    for run in (push_all, collect_reviews):
        with pytest.raises(LabelStudioError, match=r"2 projects on .* rename all but one"):
            run(queue, catalog)
    assert len(numbers(client, queue)) == 2
