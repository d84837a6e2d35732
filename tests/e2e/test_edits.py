"""Everything that a person does to boxes, polygons, brush masks and bitmasks at the page, as we read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap, mask_to_box
from detseg.images import read_image
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import decode_task, encode_task, prediction_regions
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.shapes import ShapePolicy
from detseg.labelstudio.shown import Shown, as_shown, settle_parts
from detseg.metrics.edits import find_edits
from detseg.types import Annotation, Box, Instance, Mask, Region, RegionId
from tests.e2e.page import LabelingPage, labeling_page
from tests.exif import save_turned
from tests.labelstudio.scenes import SIZE, TAXONOMY, VERSION, PushedTask, push_scene, serve
from tests.workers import first_port


@pytest.fixture(scope="module")
def tab(label_studio_state: Path) -> Iterator[LabelingPage]:
    """One tab for all tests: only what is opened in it differs."""
    from detseg.labelstudio.server import EmbeddedLabelStudio

    with labeling_page(
        EmbeddedLabelStudio(label_studio_state, port=first_port(18080)).up(), height=1000
    ) as page:
        yield page


@pytest.fixture
def pushed(client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path) -> PushedTask:
    """The belt as a brush mask, the bolt as a polygon, the nut as a bitmask, two boxes."""
    kinds = ("brush", "polygon", "bitmask")
    return push_scene(client, new_title(), tmp_path / "images" / "a.png", mask_kinds=kinds)


def read_back(client: LabelStudioClient, pushed: PushedTask) -> Annotation:
    (task,) = client.tasks(pushed.project)
    (review,) = decode_task(task, TAXONOMY).reviews
    return review.annotation


def prediction_of(pushed: PushedTask) -> Annotation:
    return Annotation(pushed.image, SIZE, VERSION, "labeled", pushed.regions)


def mask_of(region: Region) -> Mask:
    assert region.instance.mask is not None
    return region.instance.mask


def foreground(mask: Mask, x: int, y: int) -> bool:
    return bool(mask_to_bitmap(mask)[y, x])


def test_what_nobody_touched_comes_back_as_it_was(
    tab: LabelingPage, client: LabelStudioClient, pushed: PushedTask
) -> None:
    tab.open_task(pushed.project, pushed.id, n_regions=7)
    assert [region.type for region in tab.regions()] == [
        "brushregion",
        "polygonregion",
        "bitmaskregion",
        *["rectangleregion"] * 4,
    ]
    tab.submit(pushed.id)
    review = read_back(client, pushed)
    as_sent = [replace(one, instance=replace(one.instance, seen_by=None)) for one in pushed.regions]
    assert sorted(review.regions, key=lambda one: one.id) == sorted(as_sent, key=lambda one: one.id)
    assert {edit.kind for edit in find_edits(prediction_of(pushed), review)} == {"kept"}


def test_shapes_are_moved_resized_erased_relabeled_and_deleted(
    tab: LabelingPage, client: LabelStudioClient, pushed: PushedTask
) -> None:
    belt, bolt, nut, moved, resized = pushed.regions
    tab.open_task(pushed.project, pushed.id, n_regions=7)
    tab.erase(f"{belt.id}-mask", (100, 460), (300, 460), SIZE)
    tab.erase(f"{nut.id}-mask", (360, 140), (440, 140), SIZE)
    tab.select(f"{bolt.id}-mask")
    tab.drag((150, 150), (170, 140), size=SIZE)
    tab.unselect()
    tab.drag((320, 350), (360, 330), size=SIZE)
    tab.unselect()
    tab.select(f"{resized.id}-box")
    tab.drag((600, 400.75), (620, 430), size=SIZE)  # its lower right corner
    tab.choose("box", "nut")
    tab.unselect()
    tab.submit(pushed.id)

    review = read_back(client, pushed)
    back = {region.id: region for region in review.regions}
    assert set(back) == {region.id for region in pushed.regions}
    for region, inside, erased in ((belt, (400, 460), (200, 460)), (nut, (400, 110), (400, 140))):
        assert foreground(mask_of(back[region.id]), *inside)
        assert not foreground(mask_of(back[region.id]), *erased)
        assert back[region.id].instance.box == region.instance.box
        assert mask_of(region).area * 0.5 < mask_of(back[region.id]).area < mask_of(region).area
    own = mask_to_box(mask_of(back[bolt.id]))
    assert own is not None
    assert own.xyxy == pytest.approx((111, 81, 230, 200), abs=2)
    assert back[bolt.id].instance.box == bolt.instance.box
    assert back[moved.id].instance.box is not None
    assert back[moved.id].instance.box.xyxy == pytest.approx((290, 260, 430, 400), abs=2)
    assert back[resized.id].instance.box is not None
    assert back[resized.id].instance.box.xyxy == pytest.approx((500.5, 300.25, 620, 430), abs=2)
    assert back[resized.id].instance.label == "nut"
    kinds = {edit.before.id: edit.kind for edit in find_edits(prediction_of(pushed), review) if edit.before}
    assert kinds == {
        belt.id: "reshaped",
        bolt.id: "reshaped",
        nut.id: "reshaped",
        moved.id: "moved",
        resized.id: "relabeled",
    }


def test_halves_are_deleted_moved_apart_and_relabeled(
    tab: LabelingPage, client: LabelStudioClient, pushed: PushedTask
) -> None:
    """Also after the task was submitted and opened again, when a mask's parent is gone."""
    belt, bolt, nut, first, second = pushed.regions
    tab.open_task(pushed.project, pushed.id, n_regions=7)
    tab.delete(f"{bolt.id}-box")
    tab.delete(f"{first.id}-box")
    tab.select(f"{nut.id}-box")
    tab.drag((400, 140), (480, 160), size=SIZE)  # off its mask
    tab.choose("box", "bolt")
    tab.unselect()
    tab.submit(pushed.id)
    back = {region.id: region for region in read_back(client, pushed).regions}
    assert set(back) == {belt.id, bolt.id, nut.id, second.id}
    assert back[bolt.id].instance == replace(bolt.instance, box=None, seen_by=None)
    assert mask_of(back[nut.id]) == nut.instance.mask
    assert back[nut.id].instance.label == "bolt"
    settled = settle_parts(read_back(client, pushed), pushed.regions).regions
    assert {region.id for region in settled} == {belt.id, nut.id, second.id}  # its box was what the bolt was
    assert back[nut.id].instance.box is not None
    assert back[nut.id].instance.box.xyxy == pytest.approx((431, 111, 530, 210), abs=2)

    tab.open_task(pushed.project, pushed.id, n_regions=5)
    tab.delete(f"{nut.id}-mask")
    tab.update()
    again = {region.id: region for region in read_back(client, pushed).regions}
    assert again[nut.id].instance == replace(back[nut.id].instance, mask=None)
    assert again[bolt.id] == back[bolt.id]


def test_a_thing_that_is_one_shape_is_deleted_relabeled_and_resized_as_one(
    tab: LabelingPage, client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path
) -> None:
    """Five things are five shapes; a click and a key delete one, whatever it is drawn as."""
    policy = ShapePolicy(annotate="both")
    pushed = push_scene(client, new_title(), tmp_path / "images" / "a.png", policy=policy)
    belt, bolt, nut, first, second = pushed.regions
    tab.open_task(pushed.project, pushed.id, n_regions=5)
    for place in ((150, 150), (320, 350)):  # the bolt's mask, a nut's box
        tab.click(place, size=SIZE)
        tab.page.keyboard.press("Backspace")
    tab.click((400, 140), size=SIZE)
    tab.choose("mask", "bolt")
    tab.unselect()
    tab.select(f"{second.id}-box")
    tab.drag((600, 400), (620, 420), size=SIZE)
    tab.unselect()
    tab.submit(pushed.id)
    review = read_back(client, pushed)
    shown = as_shown(pushed.regions, Shown("both"))
    prediction = replace(prediction_of(pushed), regions=shown)
    kinds = {edit.before.id: edit.kind for edit in find_edits(prediction, review) if edit.before}
    assert kinds == {
        belt.id: "kept",
        bolt.id: "deleted",
        nut.id: "relabeled",
        first.id: "deleted",
        second.id: "moved",
    }
    assert len(review.regions) == 3


def test_what_people_add_is_read_and_joined_where_it_is_certain(
    tab: LabelingPage, client: LabelStudioClient, pushed: PushedTask
) -> None:
    tab.open_task(pushed.project, pushed.id, n_regions=7)
    tab.choose("polygon", "nut")
    polygon = tab.draw_polygon([(120, 300), (220, 300), (220, 400), (120, 400)], size=SIZE)
    tab.choose("box", "nut")
    box = tab.draw((117, 297), (222, 402), size=SIZE)
    tab.choose("mask", "bolt")
    brush = tab.draw((500, 60), (600, 60), size=SIZE)
    tab.choose("bitmask", "nut")
    bitmask = tab.draw((500, 120), (600, 120), size=SIZE)
    tab.choose("box", "bolt")
    loose = tab.draw((480, 30), (620, 110), size=SIZE)  # around the brush mask, but far from tight
    tab.submit(pushed.id)

    sent = {region.id for region in pushed.regions}
    added = {region.id: region for region in read_back(client, pushed).regions if region.id not in sent}
    assert set(added) == {box, brush, bitmask, loose}
    assert polygon not in added  # it is the mask of the box
    whole = added[box].instance
    assert (whole.label, whole.kind, whole.score) == ("nut", "thing", None)
    assert whole.box is not None
    assert mask_to_box(mask_of(added[box])) is not None
    assert whole.box.xyxy == pytest.approx((117, 297, 222, 402), abs=2)
    assert mask_of(added[box]).area == pytest.approx(100 * 100, rel=0.03)
    assert added[loose].instance.mask is None
    for id_, y in ((brush, 60), (bitmask, 120)):
        assert added[id_].instance.box is None
        assert foreground(mask_of(added[id_]), 550, y)
        assert mask_to_box(mask_of(added[id_])) != Box(0, 0, SIZE.width, SIZE.height)
    assert all(region.origin == "person" for region in added.values())


def test_what_is_drawn_on_a_picture_that_was_turned_in_the_page_is_read_upright(
    tab: LabelingPage, client: LabelStudioClient, pushed: PushedTask
) -> None:
    config = client.project(pushed.project).label_config
    turnable = config.replace('rotateControl="false"', 'rotateControl="true"')
    client.update_project(pushed.project, label_config=turnable)
    tab.open_task(pushed.project, pushed.id, n_regions=7)
    tab.turn()
    tab.choose("box", "nut")
    drawn = tab.draw((560, 60), (620, 160), size=SIZE)
    tab.choose("mask", "belt")
    painted = tab.draw((300, 20), (400, 40), size=SIZE)
    tab.submit(pushed.id)

    (task,) = client.tasks(pushed.project)
    assert {one["image_rotation"] for one in task["annotations"][0]["result"]} == {90}
    back = {region.id: region.instance for region in read_back(client, pushed).regions}
    assert {id_: back[id_].mask for id_ in (region.id for region in pushed.regions)} == {
        region.id: region.instance.mask for region in pushed.regions
    }
    box, mask = back[RegionId(drawn)].box, back[RegionId(painted)].mask
    assert box is not None
    assert mask is not None
    own = mask_to_box(mask)
    assert own is not None
    assert box.xyxy == pytest.approx((560, 60, 620, 160), abs=1.5)
    assert own.xyxy == pytest.approx((300, 20, 400, 40), abs=12)  # and the brush's radius


def test_pictures_that_are_stored_turned_are_shown_and_read_upright(
    tab: LabelingPage, client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path
) -> None:
    """A mirror, a transposition, a turn: the mask lies on the bar that it was found on, and comes back.

    The other five differ by half turns; they are read in test_round_trips.
    """
    project = ensure_project(client, new_title(), TAXONOMY)
    upright = np.zeros((200, 300, 3), dtype=np.uint8)
    upright[20:80, 150:270] = 255
    for orientation in (2, 5, 8):
        path = tmp_path / f"{orientation}.png"
        save_turned(Image.fromarray(upright), path, orientation)
        image = read_image(str(path))
        mask = bitmap_to_mask(image.rgb[:, :, 0] > 127)
        bar = Instance("nut", "thing", mask_to_box(mask), mask, 0.5)
        regions = prediction_regions(image.ref.id, VERSION, [bar])
        sent = encode_task(
            image.ref,
            image.size,
            regions,
            version=VERSION,
            taxonomy=TAXONOMY,
            image_url=serve(client, project, image.ref),
        ).task
        (task,) = client.import_tasks(project, [sent])
        tab.open_task(project, task, n_regions=2)
        tab.picture(tmp_path / "page.png")
        with Image.open(tmp_path / "page.png") as picture:
            for (x, y), is_bar in (((210, 50), True), ((210, 150), False), ((60, 50), False)):
                colour = picture.convert("RGB").getpixel(tab.on_screen(x, y, size=image.size))
                assert (colour != (0, 0, 0)) == is_bar, (orientation, x, y, colour)
        tab.submit(task)
        (review,) = decode_task(client.task(task), TAXONOMY).reviews
        assert review.annotation.regions == regions
