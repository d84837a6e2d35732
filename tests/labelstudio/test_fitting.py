"""What still fits an interface that somebody edited, and what is said about the rest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest

from detseg.errors import FormatError
from detseg.geometry.masks import bitmap_to_mask, mask_to_bitmap
from detseg.labelstudio.codec import EncodedTask, encode_task, prediction_regions
from detseg.labelstudio.fitting import Fitting, encode_fitting, fit_regions
from detseg.labelstudio.label_config import fit_policy, missing_labels, taxonomy_to_config
from detseg.labelstudio.shapes import ShapePolicy
from detseg.types import Annotation, Box, ImageId, ImageRef, Region
from tests.labelstudio.scenes import SIZE, TAXONOMY, VERSION, disc, instances

REF = ImageRef(ImageId("sha256:" + "5" * 64), "a.png")
REGIONS = prediction_regions(REF.id, VERSION, instances())
BELT, BOLT, NUT, NUT_BOX, BOLT_BOX = REGIONS


def fit(config: str, policy: ShapePolicy) -> Fitting:
    policy = replace(policy, kinds=fit_policy(policy, config, TAXONOMY).kinds)
    return fit_regions(REGIONS, missing_labels(config, TAXONOMY, policy), policy)


def halves(regions: tuple[Region, ...]) -> dict[str, tuple[bool, bool]]:
    return {r.id: (r.instance.box is not None, r.instance.mask is not None) for r in regions}


def test_what_was_not_touched_fits() -> None:
    policy = ShapePolicy()
    assert fit(taxonomy_to_config(TAXONOMY, policy), policy) == Fitting(REGIONS)


def test_a_label_that_was_renamed() -> None:
    policy = ShapePolicy()
    fitting = fit(taxonomy_to_config(TAXONOMY, policy).replace('value="bolt"', 'value="screw"'), policy)
    assert fitting.regions == (BELT, NUT, NUT_BOX)
    assert fitting.left_out == (
        f"region {BOLT.id}: the labeling interface has no box and no mask with label 'bolt'",
        f"region {BOLT_BOX.id}: the labeling interface has no box with label 'bolt'",
    )


def test_a_tag_that_was_removed() -> None:
    policy = ShapePolicy()
    fitting = fit(taxonomy_to_config(TAXONOMY, ShapePolicy(annotate="boxes")), policy)
    assert halves(fitting.regions) == {
        one.id: (True, False) for one in REGIONS if one.instance.box is not None
    }
    assert len(fitting.left_out) == 3
    assert fitting.left_out[0] == (f"region {BELT.id}: the labeling interface has no mask with label 'belt'")


def test_what_nobody_is_asked_for_is_not_missed() -> None:
    policy = ShapePolicy(annotate="boxes")
    config = taxonomy_to_config(TAXONOMY, policy).replace('value="nut"', 'value="ring"')
    fitting = fit(config, policy)
    assert halves(fitting.regions) == {BOLT.id: (True, False), BOLT_BOX.id: (True, False)}
    assert len(fitting.left_out) == 2


def test_where_there_are_no_bitmasks_brush_masks_do() -> None:
    policy = ShapePolicy(mask_as="bitmask")
    assert fit(taxonomy_to_config(TAXONOMY, ShapePolicy(mask_as="brush")), policy) == Fitting(REGIONS)


def test_polygons_alone_take_what_a_polygon_can_be() -> None:
    config = taxonomy_to_config(TAXONOMY, ShapePolicy(mask_as="brush")).replace("Brush", "Polygon")
    assert fit(config, ShapePolicy()) == Fitting(REGIONS)
    hollow = bitmap_to_mask(mask_to_bitmap(disc(150, 150, 60)) & ~mask_to_bitmap(disc(150, 150, 20)))
    region = replace(BOLT, instance=replace(BOLT.instance, mask=hollow))
    policy = ShapePolicy(kinds=frozenset({"polygon"}))
    fitting = fit_regions([region], (), policy)
    assert halves(fitting.regions) == {BOLT.id: (True, False)}
    assert "has polygons alone, and its mask cannot be one" in fitting.left_out[0]


def test_where_a_mask_does_not_fit_its_box_stands_for_it() -> None:
    policy = ShapePolicy(annotate="both")
    fitting = fit(taxonomy_to_config(TAXONOMY, ShapePolicy(annotate="boxes")), policy)
    assert halves(fitting.regions) == {
        one.id: (True, False) for one in REGIONS if one.instance.box is not None
    }
    assert len(fitting.left_out) == 3
    masks = taxonomy_to_config(TAXONOMY, ShapePolicy(annotate="masks"))
    assert halves(fit(masks, policy).regions) == {one.id: (False, True) for one in (BELT, BOLT, NUT)}


def encode(regions: tuple[Region, ...], missing: Collection[str] = ()) -> tuple[EncodedTask, tuple[str, ...]]:
    prediction = Annotation(REF.id, SIZE, VERSION, "labeled", regions)
    return encode_fitting(
        REF, prediction, missing=missing, version=VERSION, taxonomy=TAXONOMY, policy=ShapePolicy()
    )


def encode_whole(regions: tuple[Region, ...]) -> EncodedTask:
    return encode_task(REF, SIZE, regions, version=VERSION, taxonomy=TAXONOMY, image_url="")


def test_a_prediction_that_fits_is_encoded_as_it_is() -> None:
    assert encode(REGIONS) == (encode_whole(REGIONS), ())


def test_a_broken_region_is_left_out_beside_what_the_interface_lacks() -> None:
    outside = replace(NUT_BOX, instance=replace(NUT_BOX.instance, box=Box(700.0, 10.0, 750.0, 50.0)))
    encoded, left_out = encode((BELT, BOLT, outside), {"mask: belt"})
    assert encoded == encode_whole((BOLT,))
    assert [line.split(":")[0].split(" (")[0] for line in left_out] == [
        f"region {BELT.id}",
        f"left out, region {outside.id}",
    ]


def test_what_no_single_region_is_to_blame_for_is_an_error() -> None:
    with pytest.raises(FormatError, match="two regions have one id"):
        encode((BOLT, BOLT))
