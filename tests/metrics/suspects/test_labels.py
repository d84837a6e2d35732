"""Labels and duplicates: what triggers, and what nearly does."""

from __future__ import annotations

from detseg.metrics.suspects.rules import RULE_OF
from detseg.types import Instance, Region, RegionId
from tests.metrics.made import block
from tests.metrics.suspects.making import SIZE, case, region, suspects


def test_labels_outside_the_taxonomy() -> None:
    made = case([region("a", "cat", (5, 5, 40, 40)), region("b", "Bolt", (50, 50, 90, 90))])
    (found,) = suspects(made, "outside_taxonomy")
    assert (found.region, found.label, found.score) == ("a", "cat", 1.0)
    assert found.reason == "the project has no class 'cat'"


def test_a_thing_of_a_class_that_is_a_surface() -> None:
    belt = Instance("belt", "thing", mask=block(0, 100, 200, 150, size=SIZE))
    (found,) = suspects(case([Region(RegionId("a"), "person", belt)]), "outside_taxonomy")
    assert found.reason == "'belt' is stuff in the project, and drawn as thing"
    assert not suspects(case([region("a", "belt", mask=belt.mask)]), "outside_taxonomy")


def test_duplicates() -> None:
    first = region("a", "bolt", (10, 10, 110, 60))
    (found,) = suspects(case([first, region("b", "bolt", (10, 10, 110, 65))]), "duplicate")  # IoU 0.91
    assert found.region == "b"
    assert found.score < RULE_OF["duplicate"].cost
    assert not suspects(case([first, region("b", "bolt", (10, 10, 110, 69))]), "duplicate")  # 0.847
    thrice = [first, region("b", "bolt", (10, 10, 110, 60)), region("c", "bolt", (10, 10, 110, 60))]
    assert [one.region for one in suspects(case(thrice), "duplicate")] == ["b", "c"]


def test_two_labels_on_one_object() -> None:
    first = region("a", "bolt", (10, 10, 110, 60))
    (found,) = suspects(case([first, region("b", "nut", (10, 10, 110, 61))]), "duplicate")  # IoU 0.98
    assert "'bolt'" in found.reason
    assert not suspects(case([first, region("b", "nut", (10, 10, 110, 63))]), "duplicate")  # 0.943


def test_masks_in_one_box_are_no_duplicates() -> None:
    left, right = block(10, 10, 60, 60, size=SIZE), block(60, 10, 110, 60, size=SIZE)
    box = (10, 10, 110, 60)
    assert not suspects(
        case([region("a", box=box, mask=left), region("b", box=box, mask=right)]), "duplicate"
    )
    assert suspects(case([region("a", box=box, mask=left), region("b", box=box, mask=left)]), "duplicate")
