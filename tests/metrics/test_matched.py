"""Mean IoUs of regions that met."""

from __future__ import annotations

import pytest

from detseg.metrics.matched import Matched, MatchedRows


def rows(box_iou: float, *, n_masks: int) -> MatchedRows:
    made = MatchedRows()
    for _ in range(30):
        made.add(Matched(n_first=2, n_second=2, n_met=2, box_iou=2 * box_iou, n_masks=n_masks, mask_iou=1.6))
    return made


def test_boxes_of_regions_whose_masks_met_may_overlap_by_less_than_one_half() -> None:
    """An arm held up reaches far in the box, and is little of the mask."""
    estimate = rows(0.3, n_masks=2).mean_iou("box_iou", "n_met")
    assert estimate.value == pytest.approx(0.3)
    assert estimate.low is not None
    assert estimate.low > 0.2


def test_boxes_that_met_overlap_by_half_at_least() -> None:
    """So the doubt about what no image shows is half as large."""
    widths = []
    for n_masks in (0, 2):
        estimate = rows(0.9, n_masks=n_masks).mean_iou("box_iou", "n_met")
        assert estimate.low is not None
        assert estimate.high is not None
        widths.append(estimate.high - estimate.low)
    assert widths[0] < 0.6 * widths[1]
