"""Annotations as reviews: whatever is in them, it is either read or said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detseg.labelstudio.reviews import Target, read_reviews
from detseg.labelstudio.session import Json
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import ImageId, Size

IMAGE = ImageId("sha256:" + "a" * 64)
TAXONOMY = Taxonomy((LabelClass("bolt"),))
TARGET = Target(IMAGE, Size(40, 30), {})
GOOD: Json = {"x": 10, "y": 10, "width": 30, "height": 30, "rectanglelabels": ["bolt"]}
WRONG: tuple[Json, ...] = (
    {"type": "keypointlabels", "value": {"x": 1, "y": 1, "width": 1, "keypointlabels": ["bolt"]}},
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
    for number, line in zip(wrong, reading.unread, strict=True):
        assert line.startswith("task 5, annotation 1")
        assert f"region{number:05}" in line
    assert reading.annotation.state == ("labeled" if kinds else "empty")
    assert reading.annotation.author == "user-7"


@given(st.lists(st.integers(-1, len(WRONG) - 1), max_size=4))
def test_of_a_skipped_annotation_nothing_is_looked_at(kinds: list[int]) -> None:
    (reading,) = read_reviews(task_of({"result": results_of(kinds), "was_cancelled": True}), TARGET, TAXONOMY)
    assert (reading.annotation.state, reading.annotation.regions, reading.unread) == ("skipped", (), ())


def test_answers_that_are_no_shapes_are_counted() -> None:
    answers: list[Json] = [
        {"id": "a", "type": "choices", "from_name": "light", "value": {"choices": ["dark"]}},
        {"id": "region00000", "type": "textarea", "from_name": "note", "value": {"text": ["rusty"]}},
    ]
    (reading,) = read_reviews(task_of({"result": [*results_of([-1]), *answers]}), TARGET, TAXONOMY)
    assert (len(reading.annotation.regions), reading.unread, reading.n_answers) == (1, (), 2)
    (alone,) = read_reviews(task_of({"result": answers}), TARGET, TAXONOMY)
    assert alone.annotation.state == "empty"


def test_two_results_of_one_id_are_said_and_the_others_wait() -> None:
    twice = [{**result, "id": "regionsame"} for result in results_of([-1, -1])]
    (reading,) = read_reviews(task_of({"result": [*twice, *results_of([-1])]}), TARGET, TAXONOMY)
    assert reading.annotation.regions == ()
    assert len(reading.unread) == 1
    assert "regionsame" in reading.unread[0]


def test_an_empty_review_of_a_changed_task_is_still_one() -> None:
    empty, drawn = read_reviews(
        task_of({"result": []}, {"result": results_of([-1])}, width=41), TARGET, TAXONOMY
    )
    assert (empty.annotation.state, empty.unread) == ("empty", ())
    assert (drawn.annotation.state, len(drawn.unread)) == ("labeled", 1)


def test_the_same_result_of_nothing_and_of_null() -> None:
    readings = read_reviews(task_of({"result": None}, {"result": []}), TARGET, TAXONOMY)
    assert [reading.annotation.state for reading in readings] == ["empty", "empty"]
