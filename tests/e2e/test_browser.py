"""A person at the page: sees the pre-annotations, moves a box, deletes one, submits; we read exactly that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from detseg.images import image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import TaskReview, decode_task, encode_task, prediction_regions
from detseg.labelstudio.interface import address, read_interface
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.server import Connection
from detseg.labelstudio.shapes import MaskAs, ShapePolicy
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Box, ImageRef, Region, Size
from tests.e2e.page import labeling_page
from tests.labelstudio.scenes import (
    SIZE,
    TAXONOMY,
    VERSION,
    PushedTask,
    instances,
    push_scene,
    serve,
    write_image,
)


def as_submitted(region: Region) -> Region:
    """Who saw it is known to our catalog only."""
    return replace(region, instance=replace(region.instance, seen_by=None))


def read_back(client: LabelStudioClient, pushed: PushedTask) -> TaskReview:
    """Through the way that collects: what changed in the project."""
    (task,) = client.tasks(pushed.project)
    return decode_task(task, TAXONOMY)


@pytest.fixture
def pushed(
    client: LabelStudioClient, document_root: Path, new_title: Callable[[], str], tmp_path: Path
) -> PushedTask:
    path = tmp_path / "my images 🙂" / "a b#1.png"
    return push_scene(client, new_title(), path, document_root=document_root)


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
    """The bolt's mask is drawn over the bolt in its class's colour, the plain background stays grey.

    The picture shines through, and a paler ring sets off where the mask ends.
    """
    with labeling_page(label_studio) as page:
        page.open_task(pushed.project, pushed.id, n_regions=7)
        page.picture(tmp_path / "page.png")
        points = {
            name: page.on_screen(*xy, size=SIZE)
            for name, xy in {"bolt": (150, 150), "none": (40, 300)}.items()
        }
        left, top = page.on_screen(91, 150, size=SIZE)
        right, _ = page.on_screen(100, 150, size=SIZE)
    with Image.open(tmp_path / "page.png") as picture:
        red, green, blue = picture.convert("RGB").getpixel(points["bolt"])  # type: ignore[misc]
        assert red > 150
        assert green < 120
        assert blue < 120
        assert picture.convert("RGB").getpixel(points["none"]) == (90, 90, 100)
        # two fifths of the colour (230, 25, 75), three of the bolt (192, 160, 96), a tenth of its box
        assert (red, green, blue) == pytest.approx((209, 98, 86), abs=8)
        across = [picture.convert("RGB").getpixel((x, top)) for x in range(left, right)]
        assert min(pixel[0] - pixel[1] for pixel in across) < red - green - 20  # type: ignore[index,operator]


def test_labels_stand_beside_a_picture_as_high_as_the_page(
    label_studio: Connection, client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path
) -> None:
    """However many there are: their column is not longer than the page, and scrolls."""
    classes = tuple(LabelClass(f"part number {number}") for number in range(40))
    project = ensure_project(client, new_title(), Taxonomy(classes))
    path, size = tmp_path / "high.png", Size(600, 1500)
    Image.new("RGB", (size.width, size.height), (90, 90, 100)).save(path)
    ref = ImageRef(image_id(path.read_bytes()), str(path))
    (task,) = client.import_tasks(project, [{"data": {"image": serve(client, project, ref)}}])
    with labeling_page(label_studio, width=1600) as page:
        page.open_task(project, task, n_regions=0)
        view = page.page.viewport_size
        first, *_, last = page.page.locator(".lsf-label:visible").all()
        expect(first).to_be_in_viewport(ratio=1)
        last.scroll_into_view_if_needed()
        expect(last).to_be_in_viewport(ratio=1)
        left, top = page.on_screen(0, 0, size=size)  # it has not moved
        right, _ = page.on_screen(600, 0, size=size)
        box = last.bounding_box()
    assert view is not None
    assert box is not None
    assert 0 < top < view["height"] / 4
    assert left < right < box["x"]


@pytest.mark.parametrize("mask_as", ["brush", "bitmask"])
def test_a_mask_is_chosen_by_a_click_on_it(
    label_studio: Connection,
    client: LabelStudioClient,
    document_root: Path,
    new_title: Callable[[], str],
    tmp_path: Path,
    mask_as: MaskAs,
) -> None:
    """The page knows a click on a mask by the mask's own pixels, and by opaque ones alone."""
    policy = ShapePolicy(annotate="both", mask_as=mask_as)
    pushed = push_scene(client, new_title(), tmp_path / "a.png", document_root=document_root, policy=policy)
    belt, bolt, nut, *_ = pushed.regions
    places = {belt.id: (320, 460), bolt.id: (150, 150), nut.id: (385, 160)}
    with labeling_page(label_studio) as page:
        page.open_task(pushed.project, pushed.id, n_regions=5)
        for region, place in places.items():
            page.click(place, size=SIZE)
            page.wait_chosen(f"{region}-mask")
            page.unselect()


def test_a_project_of_split_tags_is_shown_edited_and_read_back(
    label_studio: Connection, client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path
) -> None:
    """Shapes and labels are tags apart there, and each region two results with one id."""
    labels = "".join(f'<Label value="{name}"/>' for name in TAXONOMY.names)
    config = (
        f'<View><Labels name="what" toName="photo">{labels}</Labels><Rectangle name="frame" toName="photo"/>'
        '<Brush name="paint" toName="photo"/><Image name="photo" value="$image" zoom="true"/></View>'
    )
    project = client.create_project(new_title(), config)
    ref = write_image(tmp_path / "a.png")
    regions = prediction_regions(ref.id, VERSION, instances())
    policy = ShapePolicy(annotate="both")
    sent = encode_task(
        ref,
        SIZE,
        regions,
        version=VERSION,
        taxonomy=TAXONOMY,
        image_url=serve(client, project.id, ref),
        policy=policy,
    ).task
    sent["predictions"][0]["result"] = address(
        sent["predictions"][0]["result"], read_interface(project.label_config)
    )
    (task_id,) = client.import_tasks(project.id, [sent])
    belt, bolt, nut, moved, deleted = regions
    with labeling_page(label_studio) as page:
        page.open_task(project.id, task_id, n_regions=5)
        assert sorted(region.label for region in page.regions()) == ["belt", "bolt", "bolt", "nut", "nut"]
        page.picture(tmp_path / "page.png")
        page.click((150, 150), size=SIZE)
        page.choose("what", "nut")
        page.unselect()
        page.page.keyboard.press("v")  # a rectangle needs no label here to be drawn
        page.drag((320, 350), (360, 330), size=SIZE)
        page.delete(f"{deleted.id}-box")
        page.submit(task_id)
    (task,) = client.tasks(project.id)
    (review,) = decode_task(task, TAXONOMY).reviews
    back = {region.id: region.instance for region in review.annotation.regions}
    assert set(back) == {belt.id, bolt.id, nut.id, moved.id}
    assert {name: one.label for name, one in back.items()} == {
        belt.id: "belt",
        bolt.id: "nut",
        nut.id: "nut",
        moved.id: "nut",
    }
    for kept in (belt, bolt, nut):
        assert back[kept.id].mask == kept.instance.mask
    before, after = moved.instance.box, back[moved.id].box
    assert before is not None
    assert after is not None
    assert (after.x0 - before.x0, after.y0 - before.y0) == pytest.approx((40.0, -20.0), abs=4.0)


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
