"""What annotators are asked for, what masks are drawn as, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from detseg.geometry.masks import bitmap_to_mask, mask_iou, mask_to_box
from detseg.labelstudio.codec import prediction_regions
from detseg.labelstudio.json_body import encode_json
from detseg.labelstudio.results import encode_asked
from detseg.labelstudio.shapes import (
    DrawnMask,
    ShapePolicy,
    ShapeReport,
    all_fit,
    asked,
    draw_masks,
    shape_warnings,
    sum_reports,
)
from detseg.labelstudio.shown import as_shown, plan_shown
from detseg.labelstudio.values import decode_value
from detseg.types import Box, ImageId, Instance, Mask, Region, Size
from tests.labelstudio.scenes import SIZE, TAXONOMY, VERSION, decode_results, disc, instances

IMAGE = ImageId("sha256:" + "5" * 64)
POLICIES = [
    ShapePolicy(annotate=annotate, mask_as=mask_as)  # type: ignore[arg-type]
    for annotate in ("boxes", "masks", "both", "pairs")
    for mask_as in ("auto", "brush", "bitmask", "polygon")
]


def ragged(size: Size = SIZE, seed: int = 0) -> Mask:
    """Every other pixel or so: heavy, full of holes."""
    return bitmap_to_mask(np.random.default_rng(seed).random((size.height, size.width)) < 0.5)


def holed() -> Mask:
    ring = np.zeros((SIZE.height, SIZE.width), dtype=bool)
    ring[50:150, 50:150] = True
    ring[80:120, 80:120] = False
    return bitmap_to_mask(ring)


def kinds(drawn: tuple[DrawnMask, ...]) -> list[str]:
    return [one.kind for one in drawn]


def back(drawn: DrawnMask, size: Size) -> Mask:
    mask = decode_value(drawn.kind, drawn.value, size)
    assert isinstance(mask, Mask)
    return mask


MASKS = arrays(bool, st.tuples(st.just(9), st.just(11))).filter(np.any).map(bitmap_to_mask)


@given(
    st.lists(MASKS, max_size=6),
    st.sampled_from(["auto", "brush", "bitmask", "polygon"]),
    st.integers(0, 4),
    st.integers(0, 600),
)
def test_whatever_is_chosen_masks_come_back(
    masks: list[Mask], mask_as: str, max_masks: int, max_bytes: int
) -> None:
    """Exactly, since polygons have no tolerance here; and the budget is kept where it can be."""
    policy = ShapePolicy(
        mask_as=mask_as,  # type: ignore[arg-type]
        polygon_tolerance_px=0.0,
        max_masks=max_masks,
        max_bytes=max_bytes,
    )
    drawn, report = draw_masks(masks, policy)
    assert [back(one, mask.size) for one, mask in zip(drawn, masks, strict=True)] == masks
    counts = (report.n_brush, report.n_bitmask, report.n_polygon)
    assert counts == tuple(kinds(drawn).count(kind) for kind in ("brush", "bitmask", "polygon"))
    n_full, n_bytes = report.n_brush + report.n_bitmask, sum(one.n_bytes for one in drawn)
    assert report.n_over_budget == int(n_full > max_masks or n_bytes > max_bytes)
    assert not (all_fit(masks, policy) and report.n_polygon)


@given(MASKS, st.sampled_from(["brush", "bitmask", "polygon"]))
def test_the_weight_is_that_of_the_json(mask: Mask, mask_as: str) -> None:
    ((one,), _) = draw_masks([mask], ShapePolicy(mask_as=mask_as))  # type: ignore[arg-type]
    weight = max(len(encode_json(value)) for value in one.value.values())
    assert weight - 60 <= one.n_bytes <= weight + 60 + weight // 10


def test_within_the_budget_masks_are_painted() -> None:
    masks = [disc(100, 100, 40), holed()]
    drawn, report = draw_masks(masks, ShapePolicy())
    assert kinds(drawn) == ["brush", "brush"]
    assert report == ShapeReport(n_brush=2)


def test_too_many_masks_become_polygons_the_simplest_first() -> None:
    masks = [disc(100, 100, 60), disc(300, 100, 20), holed(), disc(200, 300, 40)]
    drawn, report = draw_masks(masks, ShapePolicy(max_masks=2))
    assert kinds(drawn) == ["brush", "polygon", "brush", "polygon"]
    assert report.reasons == (("more than 2 masks in a task: polygon", 2),)
    assert report.n_over_budget == 0
    assert min(mask_iou(back(one, SIZE), mask) for one, mask in zip(drawn, masks, strict=True)) > 0.97


def test_masks_that_weigh_too_much_become_bitmasks_the_heaviest_first() -> None:
    masks = [disc(100, 100, 60), ragged()]
    drawn, report = draw_masks(masks, ShapePolicy(max_bytes=500_000))
    assert kinds(drawn) == ["brush", "bitmask"]
    assert report.reasons == (("more than 500000 bytes in a task: bitmask", 1),)
    without = ShapePolicy(max_bytes=500_000, kinds=frozenset({"brush", "polygon"}))
    drawn, report = draw_masks(masks, without)
    assert kinds(drawn) == ["polygon", "brush"]
    assert report.n_over_budget == 1


def test_holes_are_kept_whatever_was_asked_for() -> None:
    drawn, report = draw_masks([holed(), disc(300, 300, 50)], ShapePolicy(mask_as="polygon"))
    assert kinds(drawn) == ["brush", "polygon"]
    assert back(drawn[0], SIZE) == holed()
    assert report.reasons == (("holes, several pieces or too thin for a polygon: brush", 1),)


def test_what_the_interface_lacks_is_not_drawn() -> None:
    only_brush = frozenset({"brush"})
    drawn, report = draw_masks(
        [disc(9, 9, 5)] * 3,
        ShapePolicy(max_masks=1, kinds=only_brush),  # type: ignore[arg-type]
    )
    assert kinds(drawn) == ["brush"] * 3
    assert report.n_over_budget == 1
    drawn, report = draw_masks(
        [disc(9, 9, 5)],
        ShapePolicy(mask_as="polygon", kinds=only_brush),  # type: ignore[arg-type]
    )
    assert kinds(drawn) == ["brush"]
    assert report.reasons == (("the interface offers no polygon: brush", 1),)


def test_what_is_asked_about_an_instance() -> None:
    mask = disc(100, 100, 40)
    own = mask_to_box(mask)
    both = Instance("bolt", "thing", Box(0, 0, 9, 9), mask, 0.5)
    assert asked(both, "pairs") == both
    assert asked(both, "both") == replace(both, box=None)
    assert asked(replace(both, mask=None), "both") == replace(both, mask=None)
    assert asked(both, "boxes") == replace(both, mask=None)
    assert asked(both, "masks") == replace(both, box=None)
    assert asked(replace(both, box=None), "boxes") == replace(both, box=own, mask=None)
    assert asked(replace(both, mask=None), "masks") is None
    assert asked(Instance("belt", "stuff", None, mask, 0.5), "boxes") is None


def regions() -> tuple[Region, ...]:
    return prediction_regions(IMAGE, VERSION, instances())


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{policy.annotate}-{policy.mask_as}")
def test_people_are_compared_with_what_they_were_shown(policy: ShapePolicy) -> None:
    """What was sent and not touched is what was shown."""
    encoded = encode_asked(regions(), SIZE, TAXONOMY, policy=policy, where="here")
    read = decode_results(encoded.results)
    shown = {
        region.id: replace(region, instance=replace(region.instance, seen_by=None))
        for region in as_shown(regions(), plan_shown(regions(), policy))
    }
    assert {region.id: region for region in read} == shown
    report = encoded.report
    n_masks = report.n_brush + report.n_bitmask + report.n_polygon
    assert report.n_boxes + n_masks == len(encoded.results)
    assert report.n_boxes + n_masks + report.n_unasked == (5 if policy.annotate == "both" else 7)
    types = {result["type"] for result in encoded.results}
    assert (policy.annotate == "boxes") == (types == {"rectanglelabels"})
    assert (policy.annotate == "masks") == ("rectanglelabels" not in types)


def test_reports_are_summed_and_said() -> None:
    one = ShapeReport(n_boxes=2, n_brush=1, n_over_budget=1, reasons=(("a", 1), ("b", 2)))
    two = ShapeReport(n_boxes=1, n_polygon=3, reasons=(("b", 1),))
    total = sum_reports([one, two])
    assert total == ShapeReport(3, 1, 0, 3, 0, 1, (("a", 1), ("b", 3)))
    assert sum_reports([]) == ShapeReport()
    lines = list(shape_warnings(total))
    assert lines[:2] == ["1 mask is not drawn as preferred: a", "3 masks are not drawn as preferred: b"]
    assert lines[2].startswith("1 task stays above labels.max_masks or labels.max_bytes")
    assert list(shape_warnings(two)) == ["1 mask is not drawn as preferred: b"]


def test_a_polygon_that_would_cover_nothing_is_a_brush_mask() -> None:
    sliver = np.zeros((40, 40), dtype=bool)
    sliver[np.arange(40), np.arange(40)] = True
    masks = [bitmap_to_mask(sliver)]
    ((drawn,), _) = draw_masks(masks, ShapePolicy(mask_as="polygon", polygon_tolerance_px=3.0))
    assert back(drawn, masks[0].size).area > 0
