"""What annotators see of a prediction, by what was sent: whatever is left as it is comes back like that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detseg.labelstudio.codec import prediction_regions
from detseg.labelstudio.fitting import fit_regions
from detseg.labelstudio.results import decode_results, encode_asked
from detseg.labelstudio.shapes import ShapePolicy
from detseg.labelstudio.shown import (
    Shown,
    as_shown,
    decode_shown,
    encode_shown,
    find_shown,
    plan_shown,
)
from detseg.types import ImageId, Region
from tests.labelstudio.scenes import SIZE, TAXONOMY, VERSION, instances

REGIONS = prediction_regions(ImageId("sha256:" + "5" * 64), VERSION, instances())
POLICIES = [
    ShapePolicy(annotate=annotate, mask_as=mask_as, max_masks=max_masks)  # type: ignore[arg-type]
    for annotate in ("boxes", "masks", "both")
    for mask_as in ("auto", "brush", "bitmask", "polygon")
    for max_masks in (50, 1)
]
LACKS = [frozenset[str](), frozenset({"box: bolt"}), frozenset({"box: bolt", "brush: bolt", "brush: belt"})]


def by_id(regions: tuple[Region, ...]) -> dict[str, Region]:
    """Who saw them is known to our catalog only."""
    return {one.id: replace(one, instance=replace(one.instance, seen_by=None)) for one in regions}


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("missing", LACKS, ids=len)
def test_what_was_sent_and_left_alone_is_what_was_shown(policy: ShapePolicy, missing: frozenset[str]) -> None:
    fitting = fit_regions(REGIONS, missing, policy)
    sent = encode_asked(fitting.regions, SIZE, TAXONOMY, policy=policy, where="here").results
    read = decode_results(sent, SIZE, TAXONOMY, sent={}, where="here")
    shown = find_shown(REGIONS, sent, policy)
    assert by_id(as_shown(REGIONS, shown)) == by_id(read)
    assert bool(shown.left_out) == bool(fitting.left_out)
    assert decode_shown(encode_shown(shown)) == shown


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_where_it_was_not_kept_it_is_planned_as_it_would_be_sent(policy: ShapePolicy) -> None:
    sent = encode_asked(REGIONS, SIZE, TAXONOMY, policy=policy, where="here").results
    assert plan_shown(REGIONS, policy) == find_shown(REGIONS, sent, policy)


def test_the_usual_is_short() -> None:
    assert encode_shown(Shown("both")) == '{"annotate":"both"}'
    assert as_shown(REGIONS, Shown("both")) == REGIONS


def test_without_regions_nothing_is_shown() -> None:
    assert as_shown((), Shown("masks")) == ()
    assert plan_shown((), ShapePolicy(mask_as="polygon")) == Shown("both")
