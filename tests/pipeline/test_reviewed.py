"""People's boxes as the detector: masks for them, through the queue of a real server, each image once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import ModelError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.session import Json
from detseg.pipeline.choosing import Chosen
from detseg.pipeline.collect import collect_reviews
from detseg.pipeline.preannotate import load_model, plan, preannotate, predict_shard
from detseg.pipeline.predictors import load, predictor_settings
from detseg.pipeline.scan import scan
from detseg.types import ImageId
from tests.models import tiny
from tests.pipeline.reviewing import fill_queue, submit, tasks_of


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save("sam", tmp_path_factory.mktemp("sam") / "sam"))


def box(x: float, y: float, width: float, height: float) -> Json:
    """A rectangle in percent, as the page submits it."""
    sides = {"x": x, "y": y, "width": width, "height": height}
    return {
        "id": f"drawn{x}-{y}",
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "image",
        "original_width": 40,
        "original_height": 30,
        "image_rotation": 0,
        "value": {**sides, "rotation": 0, "rectanglelabels": ["bolt"]},
    }


DRAWN = [box(12.34, 20, 30.5, 40), box(12.9, 21, 30.5, 40), box(60, 5, 25, 33.3)]
"""Two of them overlap so much that suppression would drop one."""


@pytest.fixture
def boxes(queue: Settings, catalog: Catalog, client: LabelStudioClient) -> Settings:
    """Settings whose project has five tasks: one with three boxes, an empty one, a skipped one, two to do."""
    project = fill_queue(queue, catalog)
    first, empty, skipped, *_ = tasks_of(client, project)
    submit(client, first, DRAWN)
    submit(client, empty, [])
    submit(client, skipped, [], was_cancelled=True)
    collect_reviews(queue, catalog)
    return queue


def tasks_in(client: LabelStudioClient, settings: Settings) -> list[Json]:
    (project,) = client.find_projects(settings.queue.project)
    return tasks_of(client, project.id)


def masks_of(boxes: Settings, sam: str, title: str) -> Settings:
    """The settings of a second project, in which the boxes of the first get masks beside them."""
    return boxes.updated(
        queue__project=title,
        labels__annotate="pairs",
        model__detector=f"reviews:{boxes.queue.project}",
        model__segmenter=sam,
    )


def test_a_project_of_boxes_becomes_one_of_masks(
    boxes: Settings, client: LabelStudioClient, sam: str, new_title: Callable[[], str]
) -> None:
    settings = masks_of(boxes, sam, new_title())
    planned = plan(settings)
    assert (planned.unreviewed, planned.predicted, planned.pushed) == (3, 2, 2)
    report = preannotate(settings)
    assert (report.unreviewed, report.predicted, report.pushed, report.already_done) == (3, 2, 2, 0)
    assert report.quarantined == ()
    assert report.model_version.startswith("reviews+sam@")
    tasks = {task["data"]["image_id"]: task for task in tasks_in(client, settings)}
    first, empty = (ImageId(task["data"]["image_id"]) for task in tasks_in(client, boxes)[:2])
    assert tasks.keys() == {first, empty}
    assert [one["result"] for one in tasks[empty]["predictions"]] == [[]]
    (prediction,) = tasks[first]["predictions"]
    found = [one["value"] for one in prediction["result"] if one["type"] == "rectanglelabels"]
    sides = ("x", "y", "width", "height")
    drawn = [[one["value"][side] for side in sides] for one in DRAWN]
    assert sorted([one[side] for side in sides] for one in found) == [
        pytest.approx(one) for one in sorted(drawn)
    ]
    assert {one["type"] for one in prediction["result"]} > {"rectanglelabels"}
    again = preannotate(settings)
    assert (again.predicted, again.pushed, again.already_done) == (0, 0, 2)
    assert again.model_version == report.model_version
    assert len(tasks_in(client, settings)) == 2


def test_a_later_review_makes_another_version(
    boxes: Settings, catalog: Catalog, client: LabelStudioClient, sam: str, new_title: Callable[[], str]
) -> None:
    settings = masks_of(boxes, sam, new_title())
    before = preannotate(settings)
    submit(client, tasks_in(client, boxes)[3], [box(1, 1, 50, 50)])
    collect_reviews(boxes, catalog)
    after = preannotate(settings)
    assert after.model_version != before.model_version
    assert (after.unreviewed, after.predicted, after.pushed) == (2, 3, 1)


def test_reviews_that_change_while_a_run_goes_on_are_said_where_they_are_read_again(
    boxes: Settings, catalog: Catalog, client: LabelStudioClient, sam: str, new_title: Callable[[], str]
) -> None:
    settings = masks_of(boxes, sam, new_title())
    refs = scan(settings, catalog).images
    begun = load_model(Chosen(settings), refs)
    submit(client, tasks_in(client, boxes)[3], [box(1, 1, 50, 50)])
    collect_reviews(boxes, catalog)
    shard = predict_shard(settings, begun.missing, n_images=2, version=begun.version)
    assert len(shard.predicted) == 2  # this process has read the reviews of the run
    load_model(Chosen(settings), refs)  # another run begins
    with pytest.raises(ModelError, match=r"people's reviews have changed: they make reviews.*run it again"):
        predict_shard(settings, begun.missing, n_images=2, version=begun.version)


def test_what_cannot_be_done_with_reviews_is_said(settings: Settings, sam: str) -> None:
    chosen = settings.updated(model__detector="reviews", model__segmenter=sam)
    with pytest.raises(ModelError, match="only `detseg preannotate` has one"):
        load(predictor_settings(chosen))
    with pytest.raises(ModelError, match=r"knows no project .*--detector 'reviews:TITLE'"):
        load_model(Chosen(chosen), ())
    with pytest.raises(ModelError, match=r"leave model\.committee empty"):
        load(predictor_settings(chosen.updated(model__committee=(sam,))))


def test_boxes_of_people_get_no_masks_of_other_families(boxes: Settings, catalog: Catalog) -> None:
    chosen = boxes.updated(model__detector="reviews")
    refs = scan(chosen, catalog).images
    with pytest.raises(ModelError, match=r"give --segmenter one of the families edgetam.*sam"):
        load_model(Chosen(chosen), refs)
    alone = load_model(Chosen(chosen.updated(model__segmenter="")), refs)
    assert len(alone.unreviewed) == 3
