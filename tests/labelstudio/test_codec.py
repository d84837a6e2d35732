"""Tasks to and from Label Studio's JSON: round trips, and everything that is refused."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from detseg.errors import FormatError
from detseg.geometry.masks import bitmap_to_mask, empty_mask
from detseg.labelstudio.brush import encode_brush
from detseg.labelstudio.codec import (
    decode_task,
    encode_regions,
    encode_task,
    is_ours,
    prediction_regions,
    prediction_score,
)
from detseg.types import Box, ImageId, ImageRef, Instance, ModelVersion, Region, RegionId, Size
from tests.labelstudio.scenes import SIZE, TAXONOMY, VERSION, disc, instances

IMAGE = ImageId("sha256:" + "5" * 64)
REF = ImageRef(IMAGE, "/images/a.png")
NOW = "2026-11-20T20:23:44.713603Z"


def task_json(regions: tuple[Region, ...], size: Size = SIZE, **annotation: Any) -> dict[str, Any]:
    """A task as the server lists it, once submitted as it was predicted."""
    task = encode_task(REF, size, regions, version=VERSION, taxonomy=TAXONOMY, image_url="/data/x").task
    submitted = {
        "id": 3,
        "completed_by": 1,
        "was_cancelled": False,
        "lead_time": 4.5,
        "updated_at": NOW,
        "result": copy.deepcopy(task["predictions"][0]["result"]),
    }
    return {**task, "id": 7, "updated_at": NOW, "annotations": [{**submitted, **annotation}]}


def submitted_regions(task: dict[str, Any]) -> dict[str, Region]:
    (review,) = decode_task(task, TAXONOMY).reviews
    return {region.id: region for region in review.annotation.regions}


SIZES = st.builds(Size, st.integers(1, 5000), st.integers(1, 5000))


@st.composite
def sizes_and_boxes(draw: st.DrawFn) -> tuple[Size, Box]:
    size = draw(SIZES)
    x0, x1 = sorted(draw(st.lists(st.floats(0, size.width), min_size=2, max_size=2)))
    y0, y1 = sorted(draw(st.lists(st.floats(0, size.height), min_size=2, max_size=2)))
    if x1 - x0 < 1e-3 or y1 - y0 < 1e-3:
        return size, Box(0.0, 0.0, float(size.width), float(size.height))
    return size, Box(x0, y0, x1, y1)


@given(sizes_and_boxes(), st.sampled_from(["bolt", "nut"]), st.floats(0, 1))
def test_boxes_come_back(size_and_box: tuple[Size, Box], label: str, score: float) -> None:
    size, box = size_and_box
    regions = prediction_regions(IMAGE, VERSION, [Instance(label, "thing", box, None, score)])
    task = task_json(regions, size)
    value = task["predictions"][0]["result"][0]["value"]
    assert all(0 <= value[key] <= 100 for key in ("x", "y", "width", "height"))
    assert value["x"] + value["width"] <= 100 + 1e-9
    region = submitted_regions(task)[regions[0].id]
    assert region.instance.box is not None
    assert region.instance.box.xyxy == pytest.approx(box.xyxy, abs=1e-6)
    assert (region.origin, region.instance.label, region.instance.score) == ("model", label, score)


@given(arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))), st.booleans())
def test_masks_come_back_exactly(bitmap: np.ndarray[Any, Any], with_box: bool) -> None:
    bitmap[0, 0] = True
    mask = bitmap_to_mask(bitmap)
    box = Box(0.0, 0.0, 1.0, 1.0) if with_box else None
    regions = prediction_regions(IMAGE, VERSION, [Instance("nut", "thing", box, mask, 0.5)])
    assert submitted_regions(task_json(regions, mask.size))[regions[0].id].instance == regions[0].instance


def test_a_submitted_prediction_comes_back_as_it_was() -> None:
    regions = prediction_regions(IMAGE, VERSION, instances())
    back = submitted_regions(task_json(regions))
    assert set(back) == {region.id for region in regions}
    for region in regions:
        instance = back[region.id].instance
        assert instance == replace(region.instance, seen_by=None)


def test_one_thing_is_one_region_and_two_results() -> None:
    regions = prediction_regions(IMAGE, VERSION, instances()[1:2])
    results = encode_regions(regions, SIZE, TAXONOMY, where="here")
    assert [result["id"] for result in results] == [f"{regions[0].id}-mask", f"{regions[0].id}-box"]
    assert [result["from_name"] for result in results] == ["mask", "box"]
    assert [result["score"] for result in results] == [0.93, 0.93]


def test_small_boxes_lie_on_top() -> None:
    """The page draws later results above earlier ones, and only what is on top can be caught by the mouse."""
    results = encode_regions(prediction_regions(IMAGE, VERSION, instances()), SIZE, TAXONOMY, where="here")
    assert [result["type"] for result in results] == ["brushlabels"] * 3 + ["rectanglelabels"] * 4
    areas = [result["value"]["width"] * result["value"]["height"] for result in results[3:]]
    assert areas == sorted(areas, reverse=True)


def test_ids_depend_on_image_version_and_rank_alone() -> None:
    first = prediction_regions(IMAGE, VERSION, instances())
    assert first == prediction_regions(IMAGE, VERSION, instances())
    other_image = prediction_regions(ImageId("sha256:" + "6" * 64), VERSION, instances())
    other_version = prediction_regions(IMAGE, ModelVersion("tester@11111111"), instances())
    ids = [region.id for regions in (first, other_image, other_version) for region in regions]
    assert len(set(ids)) == len(ids)


def test_the_score_of_an_image_orders_by_doubt() -> None:
    def score(*found: tuple[float, str]) -> float:
        shapes = [
            Instance("nut", "thing", Box(0, 0, 1, 1), None, value, seen_by)  # type: ignore[arg-type]
            for value, seen_by in found
        ]
        return prediction_score(prediction_regions(IMAGE, VERSION, shapes))

    assert score() == 0.0
    assert score((0.9, "both"), (0.7, "both")) == pytest.approx(0.8)
    assert score((0.9, "both"), (0.7, "detector")) == pytest.approx((0.9 + 0.35) / 2)
    assert score((1.0, "both")) == 1.0


def test_an_image_without_regions_is_a_task_with_an_empty_prediction() -> None:
    task = encode_task(REF, SIZE, (), version=VERSION, taxonomy=TAXONOMY, image_url="/data/x").task
    assert task["predictions"] == [{"model_version": VERSION, "score": 0.0, "result": []}]


@pytest.mark.parametrize(
    ("instance", "reason"),
    [
        (Instance("gear", "thing", Box(0, 0, 1, 1), None, 0.5), "is no class of the project"),
        (Instance("screw", "thing", Box(0, 0, 1, 1), None, 0.5), "is no class of the project"),
        (Instance("belt", "stuff", Box(0, 0, 1, 1), None, 0.5), "stuff has a mask and no box"),
        (Instance("nut", "thing", Box(640, 0, 700, 10), None, 0.5), "has no area in the image of 640x480"),
        (Instance("nut", "thing", Box(-9, -9, 0, 10), None, 0.5), "has no area in the image of 640x480"),
        (Instance("nut", "thing", Box(3, 3, 3, 9), None, 0.5), "has no area in the image of 640x480"),
        (Instance("nut", "thing", None, empty_mask(SIZE), 0.5), "the mask is empty"),
        (
            Instance("nut", "thing", None, disc(5, 5, 3, Size(48, 64)), 0.5),
            "the mask is 48x64, the image 640x480",
        ),
    ],
)
def test_what_the_server_would_take_although_it_is_wrong(instance: Instance, reason: str) -> None:
    regions = prediction_regions(IMAGE, VERSION, [instance])
    with pytest.raises(FormatError, match=rf"^/images/a\.png .*{regions[0].id}.*{reason}"):
        task_json(regions)


def test_two_regions_with_one_id_are_refused() -> None:
    region = prediction_regions(IMAGE, VERSION, instances())[1]
    with pytest.raises(FormatError, match="two regions have one id"):
        task_json((region, region))


def test_boxes_are_clipped_to_the_image() -> None:
    box = Box(-5.0, 470.0, 900.0, 999.0)
    regions = prediction_regions(IMAGE, VERSION, [Instance("nut", "thing", box, None, 0.5)])
    back = submitted_regions(task_json(regions))[regions[0].id].instance.box
    assert back == Box(0.0, 470.0, 640.0, 480.0)


def page_result(kind: str = "rectanglelabels", **value: Any) -> dict[str, Any]:
    box = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0, "rotation": 0, kind: ["nut"]}
    return {
        "id": "A_b-3kd92x",
        "type": kind,
        "from_name": "box",
        "to_name": "image",
        "value": {**box, **value},
    }


def decode_one(result: dict[str, Any]) -> Region:
    (region,) = submitted_regions(task_json((), result=[result])).values()
    return region


def test_what_a_person_drew_is_theirs() -> None:
    region = decode_one({**page_result(), "score": 0.5})
    assert region == Region(
        RegionId("A_b-3kd92x"), "person", Instance("nut", "thing", Box(64.0, 96.0, 256.0, 288.0))
    )


def test_ids_of_the_page_that_end_like_ours_are_not_halves() -> None:
    assert decode_one({**page_result(), "id": "A_b-3k-box"}).id == "A_b-3k-box"


def test_float_noise_of_the_page_is_removed() -> None:
    region = decode_one(page_result(x=9.999999999999993, width=30.000000000000004))
    assert region.instance.box == Box(64.0, 96.0, 256.0, 288.0)


@given(st.floats(-720, 720), st.floats(1, 99), st.floats(1, 99), st.floats(0.1, 50), st.floats(0.1, 50))
def test_rotated_rectangles_become_the_box_around_them(
    rotation: float, x: float, y: float, width: float, height: float
) -> None:
    """Against the corners turned one by one, clockwise about the top left one, in pixels."""
    box = decode_one(page_result(x=x, y=y, width=width, height=height, rotation=rotation)).instance.box
    angle = math.radians(rotation)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    sides = np.array([width / 100 * SIZE.width, height / 100 * SIZE.height])
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * sides  # (4, 2)
    turned = corners @ turn.T + np.array([x / 100 * SIZE.width, y / 100 * SIZE.height])
    low, high = turned.min(axis=0), turned.max(axis=0)
    limits = [SIZE.width, SIZE.height]
    expected = (*np.clip(low, 0, limits), *np.clip(high, 0, limits))
    assert box is not None
    assert box.xyxy == pytest.approx(expected, abs=1e-6)


def test_deleted_moved_and_relabeled_halves() -> None:
    regions = prediction_regions(IMAGE, VERSION, instances())
    bolt, nut = regions[1], regions[2]
    task = task_json(regions)
    results = task["annotations"][0]["result"]
    by_id = {result["id"]: result for result in results}
    results.remove(by_id[f"{bolt.id}-mask"])
    by_id[f"{bolt.id}-box"]["value"]["x"] += 10
    by_id[f"{nut.id}-mask"]["value"]["brushlabels"] = ["bolt"]
    back = submitted_regions(task)
    assert back[bolt.id].instance.mask is None
    assert bolt.instance.box is not None
    assert back[bolt.id].instance.box == Box(
        bolt.instance.box.x0 + 64, bolt.instance.box.y0, bolt.instance.box.x1 + 64, bolt.instance.box.y1
    )
    assert back[nut.id].instance.label == "bolt"
    assert back[nut.id].instance.box == nut.instance.box


@pytest.mark.parametrize("half", ["mask", "box"])
def test_whichever_half_is_relabeled_the_whole_is(half: str) -> None:
    regions = prediction_regions(IMAGE, VERSION, instances()[1:2])
    task = task_json(regions)
    for result in task["annotations"][0]["result"]:
        if result["id"].endswith(half):
            result["value"][result["type"]] = ["nut"]
    assert submitted_regions(task)[regions[0].id].instance.label == "nut"


def test_a_mask_rubbed_out_is_gone() -> None:
    regions = prediction_regions(IMAGE, VERSION, instances()[:2])
    task = task_json(regions)
    for result in task["annotations"][0]["result"]:
        if result["type"] == "brushlabels":
            result["value"]["rle"] = encode_brush(empty_mask(SIZE))
    back = submitted_regions(task)
    assert set(back) == {regions[1].id}
    assert back[regions[1].id].instance.mask is None


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (page_result("polygonlabels", points="here"), "its 'points' is text, expected a list"),
        (page_result("polygonlabels", points=[[1, 2, 3]] * 3), "its 'points' are lists of two numbers"),
        (page_result("ellipselabels", radiusX=3, radiusY="inf"), "its 'radiusY' is text, expected a number"),
        (page_result("bitmasklabels", imageDataURL="http://x/y.png"), "is a data URL with a PNG"),
        (page_result("bitmasklabels", imageDataURL="data:image/png;base64,AAAA"), "PNG cannot be read"),
        ({**page_result(), "id": {}}, "its 'id' is an object, expected a short text"),
        ({**page_result(), "value": None}, "its 'value' is missing, expected an object"),
        ({"type": None}, "its 'type' is missing, expected text"),
        (page_result(rectanglelabels=[]), "a region has one label"),
        (page_result(rectanglelabels=["nut", "bolt"]), "a region has one label"),
        (page_result(rectanglelabels=["gear"]), "the label 'gear' is none of the classes .*interface"),
        (page_result(x="nan"), "its 'x' is text, expected a number"),
        (page_result(x=None), "its 'x' is missing, expected a number"),
        (page_result(x=10**5000), "its 'x' is no number up to a million"),
        (
            {**page_result(), "original_width": 480, "original_height": 640},
            "an image of 480x640, but the task",
        ),
        (page_result("brushlabels", format="png"), "the mask's 'format' is not 'rle'"),
        (page_result("brushlabels", format="rle", rle=[1, 2]), "brush run lengths"),
    ],
)
def test_what_cannot_be_understood_is_named(result: dict[str, Any], reason: str) -> None:
    with pytest.raises(FormatError, match=rf"^task 7, annotation 3, (region|result) .*{reason}"):
        decode_task(task_json((), result=[result]), TAXONOMY)


def test_two_results_with_one_id_are_refused() -> None:
    with pytest.raises(FormatError, match="2 results have the id A_b-3kd92x"):
        decode_task(task_json((), result=[page_result(), page_result()]), TAXONOMY)


def test_the_four_states() -> None:
    regions = prediction_regions(IMAGE, VERSION, instances())

    def states(task: dict[str, Any]) -> list[tuple[str, int]]:
        return [
            (review.annotation.state, len(review.annotation.regions))
            for review in decode_task(task, TAXONOMY).reviews
        ]

    assert states({**task_json(regions), "annotations": []}) == []
    assert states(task_json(regions)) == [("labeled", 5)]
    assert states(task_json(regions, result=[])) == [("empty", 0)]
    assert states(task_json(regions, was_cancelled=True)) == [("skipped", 0)]


def test_the_latest_annotation_of_each_annotator_counts() -> None:
    task = task_json(prediction_regions(IMAGE, VERSION, instances()))
    first = task["annotations"][0]
    later = "2026-11-20T21:00:00.000001Z"
    task["annotations"] = [
        {**first, "id": 12, "completed_by": 2},
        {**first, "id": 4, "updated_at": later, "result": []},
        {**first, "id": 9},
        {**first, "id": 11, "completed_by": {"id": 3, "email": "x@example.com"}},
    ]
    review = decode_task(task, TAXONOMY)
    assert [one.annotation_id for one in review.reviews] == [4, 9, 11, 12]
    assert [(one.annotation.author, one.annotation_id) for one in review.latest] == [
        ("user-1", 4),
        ("user-2", 12),
        ("user-3", 11),
    ]


def test_a_task_keeps_image_size_times_and_author() -> None:
    review = decode_task(task_json(()), TAXONOMY)
    (one,) = review.reviews
    moment = datetime(2026, 11, 20, 20, 23, 44, 713603, tzinfo=UTC)
    assert (review.task_id, review.image, review.size, review.updated_at) == (7, IMAGE, SIZE, moment)
    assert (one.annotation.image, one.annotation.size, one.annotation.updated_at) == (IMAGE, SIZE, moment)
    assert (one.annotation.author, one.annotation.lead_time_s) == ("user-1", 4.5)


@pytest.mark.parametrize("data", [{}, {"image_id": "sha256:1"}, {"image_id": "x", "width": 0, "height": 3}])
def test_tasks_of_somebody_else_are_named(data: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=r"^task 7: no image_id, width, height"):
        decode_task({**task_json(()), "data": data}, TAXONOMY)


def test_tasks_are_told_from_those_of_somebody_else() -> None:
    assert is_ours(task_json(()))
    assert not is_ours({"data": {"image": "/data/x"}})
    assert not is_ours({})


def test_regions_of_a_person_with_both_halves_come_back_as_one() -> None:
    region = Region(RegionId("A_b-3kd92x"), "person", replace(instances()[1], score=None, seen_by=None))
    results = encode_regions([region], SIZE, TAXONOMY, where="here")
    assert submitted_regions(task_json((), result=results)) == {region.id: region}
