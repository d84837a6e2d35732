from __future__ import annotations

from detseg.geometry.extent import NOWHERE, extent
from detseg.geometry.masks import empty_mask
from detseg.types import Box, Instance, Mask, Size


def test_the_box_comes_before_the_mask() -> None:
    mask = Mask(Size(4, 4), (5, 2, 9))
    assert extent(Instance("nut", "thing", mask=mask)) == Box(1, 1, 2, 3)
    assert extent(Instance("nut", "thing", box=Box(0, 0, 3, 3), mask=mask)) == Box(0, 0, 3, 3)
    assert extent(Instance("nut", "thing", mask=empty_mask(Size(4, 4)))) == NOWHERE
    assert NOWHERE.area == 0.0
