"""Annotations as reviews: whatever is in them, it is either read or said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.labelstudio.brush import encode_brush
from detseg.labelstudio.reviews import Target, read_reviews
from detseg.labelstudio.session import Json
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import ImageId, Mask, Size

IMAGE = ImageId("sha256:" + "a" * 64)
TAXONOMY = Taxonomy((LabelClass("bolt"),))
TARGET = Target(IMAGE, Size(40, 30), {})
GOOD: Json = {"x": 10, "y": 10, "width": 30, "height": 30, "rectanglelabels": ["bolt"]}
WRONG: tuple[Json, ...] = (
    {"type": {}, "value": GOOD},
    {"type": "rectanglelabels", "value": {**GOOD, "rectanglelabels": ["screw"]}},
    {"type": "rectanglelabels", "value": {**GOOD, "rectanglelabels": []}},
    {"type": "rectanglelabels", "value": {**GOOD, "x": "left"}},
    {"type": "rectanglelabels", "value": {"rectanglelabels": ["bolt"]}},
    {"type": "brushlabels", "value": {"format": "png", "brushlabels": ["bolt"]}},
    {"type": "rectanglelabels", "value": GOOD, "original_width": 41},
)


def task_of(*annotations: Json, **data: object) -> Json:
    entries = [
        {
            "id": number,
            "updated_at": "2026-03-01T12:00:00Z",
            "was_cancelled": False,
            "lead_time": 1.0,
            "completed_by": 7,
            "created_username": "A Person a@example.com, 7",
        }
        | annotation
        for number, annotation in enumerate(annotations, 1)
    ]
    about = {"image_id": IMAGE, "width": 40, "height": 30}
    return {"id": 5, "updated_at": "2026-03-01T12:00:00Z", "data": about | data, "annotations": entries}


def results_of(kinds: list[int]) -> list[Json]:
    """Results with ids of their own: -1 is a good one, others are wrong in one of the ways."""
    common = {"from_name": "box", "to_name": "image", "original_width": 40, "original_height": 30}
    good: Json = {"type": "rectanglelabels", "value": GOOD}
    return [
        common | (good if kind < 0 else WRONG[kind]) | {"id": f"region{number:05}"}
        for number, kind in enumerate(kinds)
    ]


@given(st.lists(st.integers(-1, len(WRONG) - 1), max_size=8))
def test_every_result_is_read_or_said(kinds: list[int]) -> None:
    (reading,) = read_reviews(task_of({"result": results_of(kinds)}), TARGET, TAXONOMY)
    n_good = kinds.count(-1)
    assert (len(reading.annotation.regions), len(reading.unread)) == (n_good, len(kinds) - n_good)
    wrong = [number for number, kind in enumerate(kinds) if kind >= 0]
    assert all(line.startswith("task 5, annotation 1") for line in reading.unread)
    for number in wrong:
        assert sum(f"region{number:05}" in line for line in reading.unread) == 1
    assert reading.annotation.state == ("labeled" if kinds else "empty")
    assert reading.annotation.author == "user-7"


@pytest.mark.parametrize(
    ("change", "author", "lead_time_s"),
    [
        ({}, "user-7", 1.0),
        ({"updated_by": 7}, "user-7", 1.0),
        ({"updated_by": 9}, "user-9", None),
        ({"updated_by": 9, "completed_by": {"id": 7, "email": "a@example.com"}}, "user-9", None),
        ({"updated_by": 7, "completed_by": {"id": 7, "email": "a@example.com"}}, "user-7", 1.0),
        ({"updated_by": 9, "ground_truth": True}, "user-7", 1.0),  # the star is kept there, too
        ({"updated_by": 9, "created_at": "2026-03-01T11:59:59.999Z"}, "user-7", 1.0),  # made for somebody
        ({"updated_by": None}, "user-7", 1.0),
        ({"updated_by": "9"}, "user-7", 1.0),
        ({"updated_by": True}, "user-7", 1.0),
    ],
)
def test_a_review_is_by_who_said_it_last(change: Json, author: str, lead_time_s: float | None) -> None:
    entry = {"result": [], "created_at": "2026-03-01T11:00:00Z", **change}
    (reading,) = read_reviews(task_of(entry), TARGET, TAXONOMY)
    assert (reading.annotation.author, reading.annotation.lead_time_s) == (author, lead_time_s)
    assert reading.is_edited == (author == "user-9")


@given(st.lists(st.integers(-1, len(WRONG) - 1), max_size=4))
def test_of_a_skipped_annotation_nothing_is_looked_at(kinds: list[int]) -> None:
    (reading,) = read_reviews(task_of({"result": results_of(kinds), "was_cancelled": True}), TARGET, TAXONOMY)
    assert (reading.annotation.state, reading.annotation.regions, reading.unread) == ("skipped", (), ())


ANSWERS: tuple[Json, ...] = (
    {"id": "a", "type": "choices", "from_name": "light", "value": {"choices": ["dark"]}},
    {"id": "region00000", "type": "textarea", "from_name": "note", "value": {"text": ["rusty"]}},
    {"id": "ghostkp001", "type": "keypointlabels", "from_name": "kp", "value": {"keypointlabels": ["p"]}},
    {"id": "b", "type": "magicwand", "value": {"format": "rle", "rle": [1]}},
    {"id": "c", "type": "vectorlabels", "value": {"vertices": []}},
    {"id": "d", "type": "videorectangle", "value": {"sequence": []}},
    {"id": "e", "type": "labels", "value": {"labels": ["bolt"]}},
    {"from_id": "a", "to_id": "b", "type": "relation", "direction": "right"},
    {"type": "a tag that there is not yet", "id": {}, "value": 7},
)


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_that_are_no_shapes_are_counted_and_leave_the_review_whole(answer: Json) -> None:
    (reading,) = read_reviews(task_of({"result": [*results_of([-1]), answer]}), TARGET, TAXONOMY)
    assert (len(reading.annotation.regions), reading.unread, reading.n_answers) == (1, (), 1)
    (alone,) = read_reviews(task_of({"result": [answer]}), TARGET, TAXONOMY)
    assert (alone.annotation.state, alone.unread, alone.n_answers) == ("empty", (), 1)


@pytest.mark.parametrize(
    ("about", "is_ours"),
    [
        ({"to_name": "image"}, True),
        ({"to_name": "image", "item_index": 0}, True),
        ({"to_name": None}, True),
        ({"to_name": "other"}, False),
        ({"to_name": ""}, False),
        ({"to_name": {"a": ["image"]}}, False),
        ({"to_name": "image", "item_index": 1}, False),
        ({"to_name": "image", "item_index": "0"}, False),
    ],
)
def test_regions_on_another_image_of_the_task_are_counted_and_not_read(about: Json, is_ours: bool) -> None:
    (mine,), target = results_of([-1]), replace(TARGET, image_name="image")
    value = {**GOOD, "labels": ["bolt"]}
    for kinds in (["rectanglelabels"], ["rectangle", "labels"]):
        same_id = [{**mine, "id": "same", "type": kind, "value": value} | about for kind in kinds]
        (reading,) = read_reviews(task_of({"result": [mine, *same_id]}), target, TAXONOMY)
        assert (len(reading.annotation.regions), reading.unread) == (2 if is_ours else 1, ())
        assert reading.n_answers == (0 if is_ours else len(kinds))


def test_labels_on_another_image_are_nobodys_here() -> None:
    mine = {"id": "same", "type": "rectangle", "to_name": "image", "value": GOOD}
    mine["value"] = {name: GOOD[name] for name in ("x", "y", "width", "height")}
    label = {"id": "same", "type": "labels", "to_name": "other", "value": {"labels": ["bolt"]}}
    target = replace(TARGET, image_name="image")
    (reading,) = read_reviews(task_of({"result": [mine, label]}), target, TAXONOMY)
    assert (reading.annotation.regions, reading.n_answers) == ((), 1)
    assert "a region has one label" in reading.unread[0]


NOTHING: tuple[Json, ...] = (
    {"type": "polygonlabels", "value": {"polygonlabels": ["bolt"]}},
    {"type": "polygonlabels", "value": {"points": None}},
    {"type": "polygonlabels", "value": {"points": [], "polygonlabels": ["bolt"]}},
    {"type": "polygonlabels", "value": {"points": [[1, 2], [30, 40]], "polygonlabels": ["bolt"]}},
    {"type": "polygonlabels", "value": {"points": [[1, 1], [50, 50], [99, 99]], "polygonlabels": ["bolt"]}},
    {"type": "ellipselabels", "value": {"x": 5, "y": 5, "radiusX": 1e-200, "radiusY": 9}},
    {"type": "rectanglelabels", "value": {**GOOD, "width": 0}},
    {"type": "rectanglelabels", "value": {**GOOD, "x": 150}},
    {
        "type": "brushlabels",
        "value": {"format": "rle", "rle": list(encode_brush(Mask(Size(40, 30), (1200,))))},
    },
)


@pytest.mark.parametrize("nothing", NOTHING)
def test_a_shape_that_covers_nothing_is_as_if_it_were_deleted(nothing: Json) -> None:
    (reading,) = read_reviews(
        task_of({"result": [*results_of([-1]), {**nothing, "id": "a"}]}), TARGET, TAXONOMY
    )
    assert (len(reading.annotation.regions), reading.unread, reading.n_answers) == (1, (), 0)


def test_results_of_one_id_are_said_and_the_others_are_read() -> None:
    twice = [{**result, "id": "regionsame"} for result in results_of([-1, -1])]
    (reading,) = read_reviews(task_of({"result": [*twice, *results_of([-1])]}), TARGET, TAXONOMY)
    assert [region.id for region in reading.annotation.regions] == ["region00000"]
    assert len(reading.unread) == 1
    assert "regionsame" in reading.unread[0]


@pytest.mark.parametrize("shape", ["rectangle", "ellipse"])
def test_a_shape_and_its_label_may_be_two_results(shape: str) -> None:
    """As with ``<Labels>`` and ``<Rectangle>`` beside each other."""
    value = {"x": 10, "y": 10, "width": 30, "height": 30, "radiusX": 20, "radiusY": 20}
    both = [
        {"id": "pair", "type": shape, "from_name": "bbox", "value": value},
        {"id": "pair", "type": "labels", "from_name": "label", "value": {**value, "labels": ["bolt"]}},
    ]
    for results in (both, both[::-1]):
        (reading,) = read_reviews(task_of({"result": results}), TARGET, TAXONOMY)
        ((region,), unread) = reading.annotation.regions, reading.unread
        assert (region.instance.label, unread, reading.n_answers) == ("bolt", (), 0)
    (alone,) = read_reviews(task_of({"result": both[:1]}), TARGET, TAXONOMY)
    assert "a region has one label" in alone.unread[0]


def test_regions_without_an_id_are_told_apart() -> None:
    """Programs may leave it out."""
    results = [{name: one for name, one in result.items() if name != "id"} for result in results_of([-1, -1])]
    (reading,) = read_reviews(task_of({"result": results}), TARGET, TAXONOMY)
    assert [region.id for region in reading.annotation.regions] == ["result-1", "result-2"]


@pytest.mark.parametrize(
    ("lead_time", "seconds"),
    [(0, 0.0), (2.5, 2.5), (None, None), (-5, None), (1e308, None), ("5", None), (float("nan"), None)],
)
def test_times_that_nobody_works_are_not_known(lead_time: object, seconds: float | None) -> None:
    (reading,) = read_reviews(task_of({"result": [], "lead_time": lead_time}), TARGET, TAXONOMY)
    assert reading.annotation.lead_time_s == seconds


def test_an_empty_review_of_a_changed_task_is_still_one() -> None:
    empty, drawn = read_reviews(
        task_of({"result": []}, {"result": results_of([-1])}, width=41), TARGET, TAXONOMY
    )
    assert (empty.annotation.state, empty.unread) == ("empty", ())
    assert (drawn.annotation.state, len(drawn.unread)) == ("labeled", 1)


def test_the_same_result_of_nothing_and_of_null() -> None:
    readings = read_reviews(task_of({"result": None}, {"result": []}), TARGET, TAXONOMY)
    assert [reading.annotation.state for reading in readings] == ["empty", "empty"]
