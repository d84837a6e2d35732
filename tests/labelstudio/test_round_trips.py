"""Through files and JSON and back: all eight EXIF orientations, all shapes of the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from detseg.geometry.masks import bitmap_to_mask, mask_iou, mask_to_bitmap, mask_to_box
from detseg.geometry.polygons import ellipse_to_mask
from detseg.images import read_image
from detseg.labelstudio.codec import decode_task, encode_task, prediction_regions
from detseg.labelstudio.json_body import encode_json
from detseg.labelstudio.shapes import ShapePolicy
from detseg.labelstudio.shown import as_shown, plan_shown
from detseg.types import Box, ImageId, Instance, Mask, Size
from tests.exif import ORIENTATIONS, save_turned
from tests.labelstudio.scenes import SIZE, TAXONOMY, VERSION, decode_results, disc

NOW = "2026-11-20T20:23:44.713603Z"


@pytest.mark.parametrize("mask_as", ["brush", "bitmask", "polygon"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_regions_lie_on_the_upright_image(tmp_path: Path, orientation: int, mask_as: Any) -> None:
    """What is found where the picture shows it, is encoded in percent of what the browser shows."""
    upright = np.zeros((40, 60, 3), dtype=np.uint8)
    upright[5:15, 30:55] = 255
    save_turned(Image.fromarray(upright), tmp_path / "a.png", orientation)
    image = read_image(str(tmp_path / "a.png"))
    assert image.size == Size(60, 40)
    mask = bitmap_to_mask(image.rgb[:, :, 0] > 127)
    instance = Instance("nut", "thing", mask_to_box(mask), mask, 0.5)
    regions = prediction_regions(image.ref.id, VERSION, [instance])
    task = encode_task(
        image.ref,
        image.size,
        regions,
        version=VERSION,
        taxonomy=TAXONOMY,
        image_url="/a.png",
        policy=ShapePolicy(mask_as=mask_as, polygon_tolerance_px=0.0),
    ).task
    results = json.loads(encode_json(task))["predictions"][0]["result"]
    assert {(one["original_width"], one["original_height"]) for one in results} == {(60, 40)}
    (value,) = [one["value"] for one in results if one["type"] == "rectanglelabels"]
    assert [value[key] for key in ("x", "y", "width", "height")] == pytest.approx([50.0, 12.5, 250 / 6, 25.0])
    entry = {"id": 1, "completed_by": 1, "updated_at": NOW, "lead_time": 1.0, "result": results}
    (review,) = decode_task({**task, "id": 1, "updated_at": NOW, "annotations": [entry]}, TAXONOMY).reviews
    assert review.annotation.regions == regions


def read_mask(kind: str, **value: Any) -> Mask:
    result = {"id": "A_b-3kd92x", "type": kind, "value": {**value, kind: ["nut"]}}
    (region,) = decode_results([result])
    assert region.origin == "person"
    assert region.instance.box is None
    assert region.instance.mask is not None
    return region.instance.mask


def test_a_polygon_of_the_page() -> None:
    """Corners in percent; closed by the page or not, it covers what it surrounds."""
    points = [[10.0, 20.0], [30.0, 20.0], [30.0, 60.0], [10.0, 60.0]]
    for closed in ({"closed": True}, {"closed": False}, {}):
        mask = read_mask("polygonlabels", points=points, **closed)
        assert mask_to_box(mask) == Box(64, 96, 192, 288)
        assert mask.area == 128 * 192


@given(st.floats(0, 360))
def test_an_ellipse_of_the_page(rotation: float) -> None:
    """Radii in percent of the width and the height, turned clockwise about its centre."""
    mask = read_mask("ellipselabels", x=50.0, y=50.0, radiusX=20.0, radiusY=10.0, rotation=rotation)
    assert mask == ellipse_to_mask((320.0, 240.0), (128.0, 48.0), rotation, SIZE)
    bitmap = mask_to_bitmap(mask)
    assert bitmap[240, 320]
    assert mask.area == pytest.approx(np.pi * 128 * 48, rel=0.01)


def test_a_turned_ellipse_reaches_down_to_the_right() -> None:
    bitmap = mask_to_bitmap(
        read_mask("ellipselabels", x=50.0, y=50.0, radiusX=20.0, radiusY=5.0, rotation=45)
    )
    assert bitmap[240 + 70, 320 + 70]
    assert not bitmap[240 - 70, 320 + 70]


def test_a_polygon_with_tolerance_stays_close() -> None:
    for radius in (5, 20, 100):
        mask = disc(320, 240, radius)
        instance = Instance("nut", "thing", None, mask, 0.5)
        regions = prediction_regions(ImageId("sha256:" + "5" * 64), VERSION, [instance])
        policy = ShapePolicy(mask_as="polygon", polygon_tolerance_px=0.5)
        (shown,) = as_shown(regions, plan_shown(regions, policy))
        assert shown.instance.mask is not None
        assert mask_iou(shown.instance.mask, mask) > 1 - 1.5 / radius
