"""What is told of a waiting image's regions is what its page shows of them."""

from __future__ import annotations

import pytest

from detseg.catalog import RegionOutline
from detseg.labelstudio.shown import Shown, as_shown
from detseg.metrics.expected_edits import ShownRegion
from detseg.pipeline.qa.cases import shown_region
from detseg.types import Box, Instance, Region, RegionId
from tests.metrics.made import block

BOX, MASK = Box(2, 2, 12, 12), block(2, 2, 12, 12)
REGIONS = (
    Region(RegionId("box"), "model", Instance("bolt", "thing", BOX, None, 0.9)),
    Region(RegionId("mask"), "model", Instance("bolt", "thing", None, MASK, 0.8)),
    Region(RegionId("both"), "model", Instance("nut", "thing", BOX, MASK, 0.7)),
    Region(RegionId("stuff"), "model", Instance("belt", "stuff", None, MASK)),
)
SHOWN = [
    Shown(annotate, left_out=left_out)  # type: ignore[arg-type]
    for annotate in ("boxes", "masks", "both", "pairs")
    for left_out in ((), ("both-box", "box-box"), ("both-mask", "mask-mask"), ("both-box", "both-mask"))
]


def outline(region: Region) -> RegionOutline:
    one = region.instance
    return RegionOutline(region.id, one.label, one.kind, one.score, one.box is not None, one.mask is not None)


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_it_is_what_people_see(shown: Shown) -> None:
    seen = [region.instance for region in as_shown(REGIONS, shown)]
    told = [one for region in REGIONS if (one := shown_region(outline(region), shown)) is not None]
    assert told == [ShownRegion(one.label, one.mask is not None, one.score) for one in seen]
