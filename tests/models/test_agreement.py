from __future__ import annotations

import pytest

from detseg.models.agreement import Agreement, agreement
from detseg.types import Box, Instance, Mask, Size

SIZE = Size(10, 10)


def thing(label: str, x0: float, *, mask: int | None = None) -> Instance:
    """A box of 10x10 from x0 on, and a mask of the first so many pixels."""
    counts = None if mask is None else Mask(SIZE, (0, mask, 100 - mask))
    return Instance(label, "thing", Box(x0, 0, x0 + 10, 10), counts, 0.9)


def test_an_answer_agrees_with_itself() -> None:
    answer = ((thing("bolt", 0, mask=50), thing("nut", 5)), ())
    assert agreement(answer, answer) == Agreement(2, 0.0, 0.0)


def test_nothing_to_compare_is_no_share() -> None:
    assert agreement([], []) == Agreement(0, None, None)
    assert agreement([()], [()]) == Agreement(1, None, None)
    assert agreement([(thing("bolt", 0),)], [(thing("bolt", 0),)]) == Agreement(1, 0.0, None)


def test_boxes_change_by_place_label_and_number() -> None:
    one = [(thing("bolt", 0), thing("nut", 20))]
    assert agreement(one, [(thing("bolt", 0.2), thing("nut", 20))]).changed_boxes == 0.0  # IoU 0.96
    assert agreement(one, [(thing("bolt", 0.3), thing("nut", 20))]).changed_boxes == 0.5  # IoU 0.94
    assert agreement(one, [(thing("nut", 0), thing("nut", 20))]).changed_boxes == 0.5
    assert agreement(one, [(thing("bolt", 0),)]).changed_boxes == pytest.approx(1 / 3)
    assert agreement(one, [()]).changed_boxes == 1.0


def test_pixels_change_by_label() -> None:
    one = [(thing("bolt", 0, mask=50),)]
    assert agreement(one, [(thing("bolt", 0, mask=40),)]).changed_mask_pixels == pytest.approx(0.2)
    assert agreement(one, [(thing("nut", 0, mask=50),)]).changed_mask_pixels == 1.0
    split = [(thing("bolt", 0, mask=50), thing("bolt", 0, mask=20))]
    assert agreement(one, split).changed_mask_pixels == 0.0
