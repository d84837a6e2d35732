"""The edits that a prediction needs, by the truth."""

from __future__ import annotations

import pytest

from detseg.metrics.needed_edits import needed_edits
from tests.metrics.made import annotation, block, boxed, masked


def kinds(found: list, true: list, **options: float) -> list[str]:  # type: ignore[type-arg]
    edits = needed_edits(annotation(found, author="m@1"), annotation(true), **options)
    return [edit.kind for edit in edits]


def test_a_region_that_is_nearly_right_is_left() -> None:
    truth = [boxed("t", "bolt", (0, 0, 20, 20))]
    for side, kind in (
        (20, "kept"),
        (16, "kept"),
        (15, "kept"),
        (14, "moved"),
        (11, "moved"),
        (9, "deleted"),
    ):
        assert kinds([boxed("a", "bolt", (0, 0, 20, side), 0.9)], truth)[0] == kind
    assert kinds([boxed("a", "bolt", (0, 0, 20, 19), 0.9)], truth, left_iou=1.0) == ["moved"]


def test_what_is_missing_is_added_and_what_is_nothing_is_deleted() -> None:
    found = [boxed("a", "bolt", (0, 0, 9, 9), 0.9), boxed("b", "bolt", (20, 20, 29, 29), 0.8)]
    true = [boxed("t", "bolt", (0, 0, 9, 9)), boxed("u", "nut", (10, 0, 19, 9))]
    edits = needed_edits(annotation(found, author="m@1"), annotation(true))
    assert [(edit.kind, edit.after and edit.after.id) for edit in edits] == [
        ("kept", "t"),
        ("deleted", None),
        ("added", "u"),
    ]


def test_another_label_is_one_change_and_equal_labels_meet_first() -> None:
    found = [boxed("a", "bolt", (0, 0, 10, 10), 0.9), boxed("b", "nut", (0, 0, 10, 10), 0.9)]
    true = [boxed("t", "nut", (0, 0, 10, 10)), boxed("u", "bolt", (0, 0, 10, 10))]
    assert kinds(found, true) == ["kept", "kept"]
    assert kinds(found[:1], true[:1]) == ["relabeled"]


def test_masks_are_compared_by_their_pixels() -> None:
    found = [masked("a", "bolt", block(0, 0, 10, 10), score=0.9)]
    assert kinds(found, [masked("t", "bolt", block(0, 0, 10, 9))]) == ["kept"]
    assert kinds(found, [masked("t", "bolt", block(0, 0, 10, 6))]) == ["reshaped"]


@pytest.mark.parametrize("n", [0, 2])
def test_an_empty_side_needs_all_or_nothing(n: int) -> None:
    regions = [boxed(str(i), "bolt", (20 * i, 0, 20 * i + 9, 9), 0.9) for i in range(n)]
    assert kinds([], regions) == ["added"] * n
    assert kinds(regions, []) == ["deleted"] * n
