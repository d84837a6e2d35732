"""Which of several model versions a person's work is compared with."""

from __future__ import annotations

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import collect_reviews
from tests.pipeline.conftest import VERSION
from tests.pipeline.test_push import NEWER, push_all, with_work


def test_work_that_was_not_collected_is_compared_with_what_it_began_with(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    """By the prediction that an annotation came of, which may be older than the newest in an open page."""
    project = push_all(queue, catalog).project_id
    before = with_work(client, project)
    first, _, unlinked, opened, newer = client.task_ids(project)
    client.create_annotation(unlinked, client.task(unlinked)["predictions"][0]["result"], lead_time_s=5.0)
    push_all(queue, catalog, NEWER)
    for task, number in ((opened, 0), (newer, 1)):
        prediction = client.task(task)["predictions"][number]
        client.create_annotation(
            task, prediction["result"], lead_time_s=5.0, parent_prediction=prediction["id"]
        )
    for _ in range(2):
        report = collect_reviews(queue, catalog)
        (key,) = (one.key for one in catalog.projects.all())
        images = {client.task(task)["data"]["image_id"]: task for task in client.task_ids(project)}
        shown = {
            images[image]: task.model_version for image, task in catalog.tasks.of_images(key, images).items()
        }
        assert [shown[task] for task in (first, unlinked, opened, newer)] == [
            VERSION,
            VERSION,
            VERSION,
            NEWER,
        ]
    assert report.states["labeled"] == 4
    assert client.task(first)["annotations"] == [before]
