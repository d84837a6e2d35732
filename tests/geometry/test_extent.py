from __future__ import annotations

import numpy as np

from detseg.geometry.extent import NOWHERE, covered_pixels, extent
from detseg.geometry.masks import bitmap_to_mask, empty_mask
from detseg.types import Box, Instance, Mask, Size


def test_the_box_comes_before_the_mask() -> None:
    mask = Mask(Size(4, 4), (5, 2, 9))
    assert extent(Instance("nut", "thing", mask=mask)) == Box(1, 1, 2, 3)
    assert extent(Instance("nut", "thing", box=Box(0, 0, 3, 3), mask=mask)) == Box(0, 0, 3, 3)
    assert extent(Instance("nut", "thing", mask=empty_mask(Size(4, 4)))) == NOWHERE
    assert NOWHERE.area == 0.0


def test_pixels_in_several_masks_of_a_class_are_covered_once() -> None:
    left, middle = np.zeros((4, 6), dtype=bool), np.zeros((4, 6), dtype=bool)
    left[:, :3], middle[:, 2:4] = True, True
    instances = [
        Instance("nut", "thing", mask=bitmap_to_mask(left)),
        Instance("nut", "thing", Box(0, 0, 6, 4), bitmap_to_mask(middle)),
        Instance("belt", "stuff", mask=bitmap_to_mask(middle)),
        Instance("bolt", "thing", Box(0, 0, 6, 4)),
    ]
    assert covered_pixels(instances, Size(6, 4)) == {"belt": 8, "nut": 16}
    assert covered_pixels(instances, Size(4, 6)) == covered_pixels([], Size(6, 4)) == {}
