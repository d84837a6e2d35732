"""Which results are one instance, and which are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from detseg.labelstudio.codec import prediction_regions
from detseg.labelstudio.results import encode_regions
from detseg.types import Box, ImageId, Instance, Region, RegionId
from tests.labelstudio.scenes import SIZE, TAXONOMY, VERSION, decode_results, disc

IMAGE = ImageId("sha256:" + "5" * 64)
DISC = disc(200, 200, 50)
TIGHT = Box(151.0, 151.0, 250.0, 250.0)
LOOSE = Box(100.0, 100.0, 300.0, 300.0)
ELSEWHERE = Box(400.0, 300.0, 450.0, 350.0)


def result(id_: str, instance: Instance, **more: Any) -> dict[str, Any]:
    """What a person drew at the page."""
    (drawn,) = encode_regions([Region(RegionId(id_), "person", instance)], SIZE, TAXONOMY, where="here")
    return {**drawn, **more}


def box(id_: str, shape: Box = TIGHT, label: str = "nut", **more: Any) -> dict[str, Any]:
    return result(id_, Instance(label, "thing", shape), **more)


def mask(id_: str, label: str = "nut", **more: Any) -> dict[str, Any]:
    kind = "stuff" if label == "belt" else "thing"
    return result(id_, Instance(label, kind, None, DISC), **more)  # type: ignore[arg-type]


def relation(a: str, b: str) -> dict[str, Any]:
    return {"type": "relation", "from_id": a, "to_id": b, "direction": "right"}


def read(*results: dict[str, Any]) -> dict[str, str]:
    """The shapes of every region: b for a box, m for a mask."""
    regions = decode_results(results)
    return {
        region.id: "b" * (region.instance.box is not None) + "m" * (region.instance.mask is not None)
        for region in regions
    }


def test_a_tight_box_and_its_mask_are_one() -> None:
    assert read(box("box-person"), mask("mask-perso")) == {"box-person": "bm"}
    assert read(mask("mask-perso"), box("box-person")) == {"box-person": "bm"}


@pytest.mark.parametrize("shape", [TIGHT, LOOSE])
def test_what_is_linked_is_one_even_if_it_is_not_tight(shape: Box) -> None:
    linked = mask("mask-perso", parentID="box-person")
    assert read(box("box-person", shape), linked) == {"box-person": "bm"}
    upwards = box("box-person", shape, parentID="mask-perso")
    assert read(upwards, mask("mask-perso")) == {"box-person": "bm"}
    for ends in (("box-person", "mask-perso"), ("mask-perso", "box-person")):
        assert read(box("box-person", shape), mask("mask-perso"), relation(*ends)) == {"box-person": "bm"}


@pytest.mark.parametrize(
    "results",
    [
        [box("box-person", LOOSE), mask("mask-perso")],
        [box("box-person", ELSEWHERE), mask("mask-perso", parentID="box-person")],
        [box("box-person", label="bolt"), mask("mask-perso", parentID="box-person")],
        [box("box-person"), mask("mask-perso", label="belt")],
        [mask("box-person"), mask("mask-perso", parentID="box-person")],
        [box("box-person"), box("mask-perso", parentID="box-person")],
        [box("box-person"), mask("mask-perso"), mask("mask-other")],
        [box("box-person"), box("box-second"), mask("mask-perso")],
        [
            box("box-person", LOOSE),
            mask("mask-perso", parentID="box-person"),
            mask("mask-other", parentID="box-person"),
        ],
        [box("box-person", LOOSE), mask("mask-perso"), relation("box-person", "nobody-the")],
        [box("box-person", LOOSE), mask("mask-perso", parentID="gone-since1")],
    ],
)
def test_what_is_not_certain_stays_apart(results: list[dict[str, Any]]) -> None:
    n_shapes = sum(result["type"] != "relation" for result in results)
    assert len(read(*results)) == n_shapes


def test_a_link_decides_between_two_that_fit() -> None:
    shapes = read(box("box-person"), mask("mask-perso", parentID="box-person"), mask("mask-other"))
    assert shapes == {"box-person": "bm", "mask-other": "m"}


def test_a_half_that_was_drawn_anew_takes_the_place_of_the_models() -> None:
    (region,) = prediction_regions(IMAGE, VERSION, [Instance("nut", "thing", TIGHT, DISC, 0.8)])
    mask_half, box_half = encode_regions([region], SIZE, TAXONOMY, where="here")
    for results in ([mask_half, box("box-person")], [box_half, mask("mask-perso")]):
        (read_back,) = decode_results(results)
        assert read_back == region


def test_what_the_model_said_apart_stays_apart() -> None:
    """Nobody touched it, so it has to come back as it was sent."""
    instance = Instance("nut", "thing", TIGHT, DISC, 0.8)
    regions = prediction_regions(IMAGE, VERSION, [replace(instance, mask=None), replace(instance, box=None)])
    results = encode_regions(regions, SIZE, TAXONOMY, where="here")
    back = decode_results(results)
    assert sorted(back, key=lambda one: one.id) == sorted(regions, key=lambda one: one.id)


def test_the_page_lists_a_mask_below_its_box() -> None:
    (whole,) = prediction_regions(IMAGE, VERSION, [Instance("nut", "thing", TIGHT, DISC, 0.8)])
    mask_half, box_half = encode_regions([whole], SIZE, TAXONOMY, where="here")
    assert mask_half["parentID"] == box_half["id"]
    (alone,) = prediction_regions(IMAGE, VERSION, [Instance("nut", "thing", None, DISC, 0.8)])
    assert "parentID" not in encode_regions([alone], SIZE, TAXONOMY, where="here")[0]
