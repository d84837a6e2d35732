"""A person at the page: sees the pre-annotations, moves a box, deletes one, submits; we read exactly that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import TaskReview, decode_task
from detseg.labelstudio.server import Connection
from detseg.types import Box, Region
from tests.e2e.page import labeling_page
from tests.labelstudio.scenes import SIZE, TAXONOMY, PushedTask, push_scene


def as_submitted(region: Region) -> Region:
    """Who saw it is known to our catalog only."""
    return replace(region, instance=replace(region.instance, seen_by=None))


def read_back(client: LabelStudioClient, pushed: PushedTask) -> TaskReview:
    """Through the way that collects: what changed in the project."""
    (task,) = client.tasks(pushed.project)
    return decode_task(task, TAXONOMY)


@pytest.fixture
def pushed(client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path) -> PushedTask:
    return push_scene(client, new_title(), tmp_path / "my images 🙂" / "a b#1.png")


def test_a_box_is_moved_and_one_is_deleted(
    label_studio: Connection, client: LabelStudioClient, pushed: PushedTask, tmp_path: Path
) -> None:
    belt, bolt, nut, moved, deleted = pushed.regions
    sent_ids = [result["id"] for result in pushed.sent["predictions"][0]["result"]]
    with labeling_page(label_studio) as page:
        page.open_task(pushed.project, pushed.id, n_regions=len(sent_ids))
        assert [region.id for region in page.regions()] == sent_ids
        assert sorted(page.listed_labels()) == ["belt", "bolt", "bolt", "bolt", "nut", "nut", "nut"]
        page.picture(tmp_path / "page.png")
        page.drag((320, 350), (360, 330), size=SIZE)
        page.delete(f"{deleted.id}-box")
        page.submit(pushed.id)
        assert page.requested == {label_studio.url.removeprefix("http://")}

    (review,) = read_back(client, pushed).reviews
    assert (review.annotation.state, review.annotation.author) == ("labeled", "user-1")
    assert review.annotation.lead_time_s is not None
    assert review.annotation.lead_time_s > 0
    back = {region.id: region for region in review.annotation.regions}
    assert set(back) == {region.id for region in (belt, bolt, nut, moved)}
    for untouched in (belt, bolt, nut):
        assert back[untouched.id] == as_submitted(untouched)
    before, after = moved.instance.box, back[moved.id].instance.box
    assert before is not None
    assert after is not None
    assert (after.x1 - after.x0, after.y1 - after.y0) == pytest.approx((140.0, 140.0), abs=1e-6)
    assert (after.x0 - before.x0, after.y0 - before.y0) == pytest.approx((40.0, -20.0), abs=4.0)
    assert back[moved.id] == replace(
        as_submitted(moved), instance=replace(as_submitted(moved).instance, box=Box(*after.xyxy))
    )


def test_what_is_shown_is_where_it_belongs(
    label_studio: Connection, pushed: PushedTask, tmp_path: Path
) -> None:
    """The bolt's mask is drawn over the bolt in its class's colour, the plain background stays grey."""
    with labeling_page(label_studio) as page:
        page.open_task(pushed.project, pushed.id, n_regions=7)
        page.picture(tmp_path / "page.png")
        points = {
            name: page.on_screen(*xy, size=SIZE)
            for name, xy in {"bolt": (150, 150), "none": (40, 300)}.items()
        }
    with Image.open(tmp_path / "page.png") as picture:
        red, green, blue = picture.convert("RGB").getpixel(points["bolt"])  # type: ignore[misc]
        assert red > 150
        assert green < 120
        assert blue < 120
        assert picture.convert("RGB").getpixel(points["none"]) == (90, 90, 100)


def test_submitting_as_it_is_keeps_every_value(
    label_studio: Connection, client: LabelStudioClient, pushed: PushedTask
) -> None:
    with labeling_page(label_studio) as page:
        page.open_task(pushed.project, pushed.id, n_regions=7)
        page.submit(pushed.id)
    (review,) = read_back(client, pushed).reviews
    assert sorted(review.annotation.regions, key=lambda region: region.id) == sorted(
        map(as_submitted, pushed.regions), key=lambda region: region.id
    )
