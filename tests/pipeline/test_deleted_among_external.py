"""One more of somebody else's tasks does not hide one less of ours."""

from __future__ import annotations

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor


def test_a_deleted_task_is_seen_beside_an_external_one(
    queue: Settings, catalog: Catalog, client: LabelStudioClient
) -> None:
    refs = tuple(scan(queue, catalog).images)
    predict_shard(queue, catalog, FixedPredictor(), refs)
    project_id = push(queue, catalog, refs=refs[:2], version=VERSION, taxonomy=TAXONOMY).project_id
    collect_reviews(queue, catalog)
    client.import_tasks(project_id, [{"data": {"image": "/static/images/logo.png"}}])
    push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    client.delete_task(client.task_ids(project_id)[0])
    report = collect_reviews(queue, catalog)
    assert sum(report.states.values()) == len(refs) - 1
    assert collect_reviews(queue, catalog).states == report.states
