"""Projects that others made, on a real Label Studio that validates predictions: their own tags are used."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import FormatError
from detseg.labelstudio.client import LabelStudioClient
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.push import push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.labelstudio.test_interface import DRAWN, NOT_DRAWN, templates
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor
from tests.pipeline.reviewing import fill_queue, predicted, submit, tasks_of

LABELS = {"Airplane": "bolt", "Car": "belt", "Text": "bolt", "Handwriting": "belt", "Tumor": "bolt"}
"""The classes of the predictor in the place of those of the templates."""

SENT: Mapping[str, tuple[set[tuple[str, str]], int]] = {
    "object-detection-with-bounding-boxes": ({("label", "rectanglelabels")}, 2),
    "medical-image-classification-with-bboxes": ({("label", "rectanglelabels")}, 2),
    "semantic-segmentation-with-masks": ({("tag", "brushlabels")}, 2),
    "semantic-segmentation-with-polygons": ({("label", "polygonlabels")}, 2),
    "optical-character-recognition": (
        {("bbox", "rectangle"), ("poly", "polygon"), ("label", "labels")},
        3,
    ),
}
"""The tags and types of a task's results, and how many regions they are."""


def config_of(template: str) -> str:
    config = templates()[template]
    for theirs, ours in LABELS.items():
        config = config.replace(f'value="{theirs}"', f'value="{ours}"')
    return config


@pytest.mark.parametrize("template", sorted(DRAWN))
def test_a_templates_own_tags_are_written_and_read(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, template: str
) -> None:
    config, (tags, n_regions) = config_of(template), SENT[template]
    project = client.create_project(queue.queue.project, config).id
    assert fill_queue(queue, catalog) == project
    assert client.project(project).label_config == config.strip()
    task, *_ = tasks_of(client, project)
    results = predicted(task)
    assert {(one["from_name"], one["type"]) for one in results} == tags
    submit(client, task)
    report = collect_reviews(queue, catalog)
    assert (report.new, report.failures, report.n_answers, report.missing_labels) == (1, (), 0, ())
    (known,) = catalog.projects.all()
    (review,) = catalog.reviews.latest(known.key)
    assert len(review.annotation.regions) == n_regions
    assert {region.origin for region in review.annotation.regions} == {"model"}


@pytest.mark.parametrize("template", ["keypoints", "multipage-documents"])
def test_a_project_without_boxes_and_masks_is_refused_with_what_to_add(
    queue: Settings, catalog: Catalog, client: LabelStudioClient, template: str
) -> None:
    refs = scan(queue, catalog).images
    predict_shard(queue, catalog, FixedPredictor(), refs)
    project = client.create_project(queue.queue.project, templates()[template]).id
    data = {"img": "x.png", "image": "x.png", "pages": ["x.png"]}
    client.session.json("POST", f"/api/projects/{project}/import", body=[{"data": data}])
    with pytest.raises(FormatError) as caught:
        push(queue, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY)
    assert NOT_DRAWN[template] in str(caught.value)
