"""A preview says what the push that follows it does, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.push import PushReport, push
from detseg.pipeline.pushing.preview import preview
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import ImageRef, ModelVersion
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, settings_for

NEWER = ModelVersion("fixed@00000002")


def foreseen(
    queue: Settings, catalog: Catalog, refs: Sequence[ImageRef], version: ModelVersion = VERSION
) -> PushReport:
    """What the push did, after a look at whether it had been said and nothing else had happened."""
    before = catalog.projects.all(), catalog.quarantine.entries()
    said = preview(queue, catalog, refs=refs, version=version, taxonomy=TAXONOMY)
    again = preview(queue, catalog, refs=refs, version=version, taxonomy=TAXONOMY)
    assert said == again
    assert before == (catalog.projects.all(), catalog.quarantine.entries())
    done = push(queue, catalog, refs=refs, version=version, taxonomy=TAXONOMY)
    assert said.counts == done.counts
    return done


def test_every_kind_of_push_is_foreseen(queue: Settings, catalog: Catalog, client: LabelStudioClient) -> None:
    refs = tuple(scan(queue, catalog).images)
    predict_shard(queue, catalog, FixedPredictor(), refs)
    project = foreseen(queue, catalog, refs[:3]).project_id
    client.import_tasks(project, [{"data": {"image": "x.png", "image_id": refs[3].id}}])
    assert foreseen(queue, catalog, refs).counts["held"] == 1
    config = client.project(project).label_config
    client.update_project(project, label_config=config.replace('value="belt"', 'value="conveyor"'))
    predict_shard(queue, catalog, FixedPredictor(NEWER), refs)
    first, second, *_ = client.task_ids(project)
    client.create_annotation(first, [], lead_time_s=1.0)
    client.delete_task(second)
    replacing = queue.model_copy(update={"predictions": "replace"})
    report = foreseen(replacing, catalog, refs, NEWER)
    assert {status: n for status, n in report.counts.items() if n} == {
        "added": 1,
        "replaced": 2,
        "deleted": 1,
        "held": 1,
    }
    assert len(report.incomplete) == 3
    client.delete_task(first)
    restored = foreseen(queue.model_copy(update={"restore": True}), catalog, refs, NEWER)
    assert restored.counts["pushed"] == 2


def test_an_image_without_a_prediction_would_be_pushed(queue: Settings, catalog: Catalog) -> None:
    refs = scan(queue, catalog).images
    said = preview(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert (said.counts["pushed"], said.project_id, said.url) == (5, 0, "")


@pytest.mark.parametrize("known", [False, True])
def test_without_a_server_the_catalog_is_asked(
    queue: Settings, settings: Settings, catalog: Catalog, known: bool
) -> None:
    refs = tuple(scan(queue, catalog).images)
    if known:
        predict_shard(queue, catalog, FixedPredictor(), refs)
        push(queue, catalog, refs=refs[:2], version=VERSION, taxonomy=TAXONOMY)
    nowhere = settings_for(settings, "http://127.0.0.1:9", "token", title=queue.project)
    said = preview(nowhere, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert said.counts["pushed"] == (3 if known else 5)
    assert "by the catalog alone" in said.warnings[0]
