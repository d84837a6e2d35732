"""Each rule about one region's shape: what triggers it, and what nearly does."""

from __future__ import annotations

import pytest

from detseg.geometry.masks import empty_mask
from detseg.metrics.suspects.options import SuspectOptions
from detseg.metrics.suspects.rules import RULE_OF
from detseg.types import Box, Mask, Size
from tests.metrics.made import block
from tests.metrics.suspects.making import SIZE, case, region, suspects

BoxOf4 = tuple[float, float, float, float]


def only(box: BoxOf4 | None, mask: Mask | None = None, *, rule: str) -> float | None:
    """The score that a lone region gets from a rule; None if the rule finds nothing."""
    found = suspects(case([region("a", "bolt", box, mask=mask)]), rule)  # type: ignore[arg-type]
    return found[0].score if found else None


@pytest.mark.parametrize(
    ("box", "triggers"), [((5, 5, 5, 40), True), ((5, 5, 40, 5.9), True), ((5, 5, 40, 6), False)]
)
def test_degenerate_boxes(box: BoxOf4, triggers: bool) -> None:
    assert only(box, rule="degenerate") == (1.0 if triggers else None)


def test_degenerate_masks() -> None:
    assert only(None, empty_mask(SIZE), rule="degenerate") == 1.0
    assert only((5, 5, 40, 40), empty_mask(SIZE), rule="degenerate") == 1.0
    assert only(None, block(5, 5, 6, 6, size=SIZE), rule="degenerate") is None


def test_out_of_frame() -> None:
    assert only((-1, -1, 50, 40), rule="out_of_frame") is None
    slightly, far = only((-2, 0, 50, 40), rule="out_of_frame"), only((-100, 0, 100, 40), rule="out_of_frame")
    assert slightly is not None
    assert far == pytest.approx(0.75 * RULE_OF["out_of_frame"].cost)
    assert slightly < far
    assert only((300, 0, 400, 40), rule="out_of_frame") == RULE_OF["out_of_frame"].cost
    assert only((100, 100, SIZE.width + 1, SIZE.height + 1), rule="out_of_frame") is None


def test_a_mask_of_another_size_than_its_image() -> None:
    (found,) = suspects(case([region("a", mask=block(1, 1, 30, 20, size=Size(40, 30)))]), "out_of_frame")
    assert found.reason == "its mask is 40x30, the image 200x150"
    assert only(None, block(1, 1, 30, 20, size=SIZE), rule="out_of_frame") is None


def test_tiny() -> None:
    assert only((5, 5, 9, 9), rule="tiny") is None
    assert only((5, 5, 9, 8.9), rule="tiny") is not None
    assert only(None, block(5, 5, 9, 9, size=SIZE), rule="tiny") is None
    assert only(None, block(5, 5, 9, 8, size=SIZE), rule="tiny") is not None
    assert only((5, 5, 5, 40), rule="tiny") is None  # which is degenerate


def test_a_box_far_larger_than_its_mask() -> None:
    mask = block(20, 20, 60, 60, size=SIZE)
    found = suspects(case([region("a", "bolt", (10, 10, 90, 90), mask=mask)]), "oversized")
    assert [(one.reason, one.box) for one in found] == [
        ("its mask's own box fills 25% of its box", Box(10, 10, 90, 90))
    ]
    assert only((15, 15, 70, 70), mask, rule="oversized") is None  # 53 %


def test_a_box_elsewhere_than_its_mask() -> None:
    mask = block(20, 20, 60, 60, size=SIZE)
    assert only((20, 20, 60, 60), mask, rule="box_mask_apart") is None
    assert only((20, 20, 60, 48.1), mask, rule="box_mask_apart") is None  # IoU 0.7025
    assert only((20, 20, 60, 47.9), mask, rule="box_mask_apart") is not None
    assert only((100, 100, 140, 140), mask, rule="box_mask_apart") == RULE_OF["box_mask_apart"].cost
    assert only((10, 10, 90, 90), mask, rule="box_mask_apart") is None  # which is oversized


def test_thresholds_are_settings() -> None:
    made = case([region("a", "bolt", (5, 5, 25, 25))])
    assert not suspects(made, "tiny")
    assert suspects(made, "tiny", SuspectOptions(tiny_px=401))
