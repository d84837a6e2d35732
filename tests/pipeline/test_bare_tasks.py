"""Label Studio on SQLite makes tasks without their predictions when somebody else writes at that moment."""

from __future__ import annotations

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.predictions import look_up
from detseg.pipeline.push import push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor


def test_tasks_that_came_without_predictions_get_them(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = tuple(scan(queue, catalog).images)
    predict_shard(queue, catalog, FixedPredictor(), refs)
    first = push(queue, catalog, refs=refs[:1], version=VERSION, taxonomy=TAXONOMY)
    (project,) = [entry for entry in catalog.projects.all() if entry.server_id == first.project_id]
    catalog.tasks.open_push(project.key, [ref.id for ref in refs], VERSION)
    data = client.task(client.task_ids(first.project_id)[0])["data"]
    client.import_tasks(first.project_id, [{"data": {**data, "image_id": ref.id}} for ref in refs[1:]])
    again = push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert (again.counts["pushed"], again.counts["added"]) == (0, len(refs) - 1)
    found = look_up(client.session, first.project_id, client.task_ids(first.project_id))
    assert len(found) == len(refs)
    assert all([one.model_version for one in task.predictions] == [VERSION] for task in found.values())
    assert catalog.tasks.without_prediction(project.key) == ()
