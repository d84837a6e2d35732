"""Whatever stands in an annotation's result is read, counted or said: nothing raises, nothing is large."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from detseg.labelstudio.bitmask import encode_bitmask
from detseg.labelstudio.reviews import Target, read_reviews
from detseg.types import ImageId, Mask
from tests.labelstudio.odd_results import (
    GOOD,
    JSON,
    READABLE,
    SIZE,
    TAXONOMY,
    UNREADABLE,
    odd_results,
    read,
    result,
)

IMAGE = ImageId("sha256:" + "a" * 64)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(odd_results())
def test_no_result_raises(results: Any) -> None:
    """``python -m tests.labelstudio.odd_results`` tries 40,000."""
    found = read(results)
    for line in found.unread:
        assert line.startswith("task 5, annotation 3")
        assert line.isprintable(), "one line, which any database keeps"
    for region in found.regions:
        assert region.id.isprintable()
        assert region.instance.label in TAXONOMY.names


@settings(max_examples=100)
@given(JSON, JSON, JSON, JSON)
def test_no_annotation_raises(results: Any, skipped: Any, lead_time: Any, author: Any) -> None:
    entry = {"id": 3, "updated_at": "2026-03-01T12:00:00Z", "result": results, "was_cancelled": skipped}
    entry |= {"lead_time": lead_time, "completed_by": author, "created_username": author}
    data = {"image_id": IMAGE, "width": SIZE.width, "height": SIZE.height}
    for about in (data, {**data, "image_id": results}, {**data, "width": lead_time}):
        task = {"id": 5, "updated_at": entry["updated_at"], "data": about, "annotations": [entry]}
        (reading,) = read_reviews(task, Target(IMAGE, SIZE, {}), TAXONOMY)
        assert reading.annotation.author.isprintable()
        assert all(line.isprintable() for line in reading.unread)


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_what_cannot_be_read_is_one_line_and_costs_nothing(name: str) -> None:
    tracemalloc.start()
    try:
        found = read([UNREADABLE[name], {**GOOD[0], "id": "good"}])
        assert tracemalloc.get_traced_memory()[1] < 25_000_000
    finally:
        tracemalloc.stop()
    assert [region.id for region in found.regions] == ["good"]
    assert len(found.unread) == 1
    assert len(found.unread[0]) < 500


@pytest.mark.parametrize("name", sorted(READABLE))
def test_what_is_only_odd_leaves_the_review_whole(name: str) -> None:
    assert read([READABLE[name], {**GOOD[0], "id": "good"}]).unread == ()


@pytest.mark.parametrize("results", [{}, "text", 7, True, {"a": []}])
def test_a_result_that_is_no_list_is_said(results: Any) -> None:
    assert "expected a list" in read(results).unread[0]


def test_of_very_many_results_none_are_read() -> None:
    many = [{**GOOD[0], "id": f"box-{i}"} for i in range(10_001)]
    assert read(many).unread == ("task 5, annotation 3: it has 10001 regions, more than 10000 are not read",)


def test_of_very_many_lines_the_first_are_said() -> None:
    found = read([None] * 1_000)
    assert len(found.unread) == 21
    assert found.unread[-1] == "task 5, annotation 3: 980 more cannot be read"


def test_boxes_and_masks_by_the_thousand_are_paired() -> None:
    """None fits but one mask, so that every pair of them is looked at."""
    n = 2_000
    boxes = [result("rectanglelabels", x=i % 50, y=i // 50, width=40, height=40) for i in range(n)]
    points = [[[x, y], [x + 40, y], [x + 40, y + 40], [x, y + 40]] for x in range(50) for y in range(40)]
    masks = [result("polygonlabels", points=corners) for corners in points]
    found = read([{**one, "id": f"region-{i}"} for i, one in enumerate([*boxes, *masks])])
    assert found.unread == ()
    assert n <= len(found.regions) <= 2 * n


def test_masks_that_are_too_ragged_together_are_said() -> None:
    """A few bytes each, and as many runs as the image has pixels."""
    checkered = Mask(SIZE, (1,) * SIZE.area)
    url = encode_bitmask(checkered)
    masks = [{**result("bitmasklabels", imageDataURL=url), "id": f"mask-{i}"} for i in range(1_000)]
    found = read(masks)
    assert sum(len(one.instance.mask.counts) for one in found.regions if one.instance.mask) < 1_010_000
    assert "too ragged together" in found.unread[0]
    assert read(masks[:100]).unread == ()


def test_polygons_that_are_too_tangled_together_are_said() -> None:
    """Each is half of what is read of an annotation, and covers something."""
    n_sides = (500_000 + 4 * SIZE.area) // SIZE.height
    zigzag = [[i % 7, 100.0 * (i % 2)] for i in range(n_sides)]
    found = read([{**result("polygonlabels", points=zigzag), "id": f"mask-{i}"} for i in range(3)])
    assert [region.id for region in found.regions] == ["mask-0", "mask-1"]
    (line,) = found.unread
    assert "too tangled" in line


def test_of_very_many_bitmasks_the_first_are_read() -> None:
    url = encode_bitmask(Mask(SIZE, (0, SIZE.area)))
    found = read([{**result("bitmasklabels", imageDataURL=url), "id": f"mask-{i}"} for i in range(1_001)])
    assert len(found.regions) == 1_000
    (line,) = found.unread
    assert "more than 1,000 bitmasks in an annotation are not read" in line
