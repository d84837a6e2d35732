"""What still fits an interface that somebody edited, and what is said about the rest."""

from __future__ import annotations

from detseg.labelstudio.codec import prediction_regions
from detseg.labelstudio.fitting import Fitting, fit_regions
from detseg.labelstudio.label_config import missing_labels, taxonomy_to_config
from detseg.labelstudio.shapes import ShapePolicy
from detseg.types import ImageId, Region
from tests.labelstudio.scenes import TAXONOMY, VERSION, instances

REGIONS = prediction_regions(ImageId("sha256:" + "5" * 64), VERSION, instances())
BELT, BOLT, NUT, NUT_BOX, BOLT_BOX = REGIONS


def fit(config: str, policy: ShapePolicy) -> Fitting:
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
        f"region {BOLT.id}: the labeling interface has no label 'bolt' in RectangleLabels 'box' and "
        "BrushLabels 'mask'",
        f"region {BOLT_BOX.id}: the labeling interface has no label 'bolt' in RectangleLabels 'box'",
    )


def test_a_tag_that_was_removed() -> None:
    policy = ShapePolicy()
    fitting = fit(taxonomy_to_config(TAXONOMY, ShapePolicy(annotate="boxes")), policy)
    assert halves(fitting.regions) == {
        one.id: (True, False) for one in REGIONS if one.instance.box is not None
    }
    assert len(fitting.left_out) == 3
    assert fitting.left_out[0] == (
        f"region {BELT.id}: the labeling interface has no label 'belt' in BrushLabels 'mask'"
    )


def test_what_nobody_is_asked_for_is_not_missed() -> None:
    policy = ShapePolicy(annotate="boxes")
    config = taxonomy_to_config(TAXONOMY, policy).replace('value="nut"', 'value="ring"')
    fitting = fit(config, policy)
    assert halves(fitting.regions) == {BOLT.id: (True, False), BOLT_BOX.id: (True, False)}
    assert len(fitting.left_out) == 2


def test_bitmasks_need_their_own_tag() -> None:
    policy = ShapePolicy(mask_as="bitmask")
    fitting = fit(taxonomy_to_config(TAXONOMY, ShapePolicy(mask_as="brush")), policy)
    assert all(mask is False for _, mask in halves(fitting.regions).values())
    assert "in BitmaskLabels 'bitmask'" in fitting.left_out[0]
