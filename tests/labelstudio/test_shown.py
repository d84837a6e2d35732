"""What annotators see of a prediction, by what was sent: whatever is left as it is comes back like that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from detseg.labelstudio.codec import prediction_regions
from detseg.labelstudio.fitting import fit_regions
from detseg.labelstudio.results import encode_asked
from detseg.labelstudio.shapes import ShapePolicy
from detseg.labelstudio.shown import (
    Shown,
    as_shown,
    decode_shown,
    encode_shown,
    find_shown,
    in_parts,
    plan_shown,
    settle_parts,
)
from detseg.types import Annotation, Box, ImageId, Instance, Region, RegionId
from tests.labelstudio.scenes import SIZE, TAXONOMY, VERSION, decode_results, disc, instances

REGIONS = prediction_regions(ImageId("sha256:" + "5" * 64), VERSION, instances())
POLICIES = [
    ShapePolicy(annotate=annotate, mask_as=mask_as, max_masks=max_masks)  # type: ignore[arg-type]
    for annotate in ("boxes", "masks", "both", "pairs")
    for mask_as in ("auto", "brush", "bitmask", "polygon")
    for max_masks in (50, 1)
]
LACKS = [
    frozenset[str](),
    frozenset({"box: bolt"}),
    frozenset({"mask: bolt", "bitmask: bolt"}),
    frozenset({"box: bolt", "mask: bolt", "mask: belt"}),
]


def name_of(policy: ShapePolicy) -> str:
    """Short, and the same in every process, which the order of a set is not."""
    return f"{policy.annotate}-{policy.mask_as}-{policy.max_masks}"


def by_id(regions: tuple[Region, ...]) -> dict[str, Region]:
    """Who saw them is known to our catalog only."""
    return {one.id: replace(one, instance=replace(one.instance, seen_by=None)) for one in regions}


@pytest.mark.parametrize("policy", POLICIES, ids=name_of)
@pytest.mark.parametrize("missing", LACKS, ids=len)
def test_what_was_sent_and_left_alone_is_what_was_shown(policy: ShapePolicy, missing: frozenset[str]) -> None:
    fitting = fit_regions(REGIONS, missing, policy)
    sent = encode_asked(fitting.regions, SIZE, TAXONOMY, policy=policy, where="here").results
    read = decode_results(sent)
    shown = find_shown(REGIONS, sent, policy)
    assert by_id(as_shown(REGIONS, shown)) == by_id(read)
    assert bool(shown.left_out) == bool(fitting.left_out)
    assert decode_shown(encode_shown(shown)) == shown


@pytest.mark.parametrize("policy", POLICIES, ids=name_of)
def test_where_it_was_not_kept_it_is_planned_as_it_would_be_sent(policy: ShapePolicy) -> None:
    sent = encode_asked(REGIONS, SIZE, TAXONOMY, policy=policy, where="here").results
    assert plan_shown(REGIONS, policy) == find_shown(REGIONS, sent, policy)


def test_the_usual_is_short() -> None:
    assert encode_shown(Shown("both")) == '{"asked":"both"}'
    assert as_shown(REGIONS, Shown("pairs")) == REGIONS


def test_what_earlier_versions_kept_is_what_was_shown_then() -> None:
    """Their ``both`` was a box and a mask for each thing."""
    assert decode_shown('{"annotate":"both","left_out":["a-box"]}') == Shown("pairs", left_out=("a-box",))
    assert decode_shown('{"annotate":"masks"}') == Shown("masks")


def test_without_regions_nothing_is_shown() -> None:
    assert as_shown((), Shown("masks")) == ()
    assert plan_shown((), ShapePolicy(mask_as="polygon")) == Shown("pairs")


BOLT = REGIONS[1]
AWAY = Box(400.0, 300.0, 520.0, 420.0)
REPAINTED = disc(150, 150, 50)
ELSEWHERE = disc(450, 350, 50)


def settled(**changes: Any) -> Instance | None:
    """What is left of a thing with a box and a mask, of which a person changed that."""
    now = replace(BOLT, instance=replace(BOLT.instance, **changes))
    review = Annotation(ImageId("sha256:" + "5" * 64), SIZE, "user-1", "labeled", (now, REGIONS[3]))
    regions = settle_parts(review, REGIONS).regions
    assert regions[-1] == REGIONS[3]
    return regions[0].instance if len(regions) == 2 else None


def test_the_part_that_a_person_changed_speaks_for_the_thing() -> None:
    assert settled(box=None) is None
    assert settled(box=AWAY) == replace(BOLT.instance, box=AWAY, mask=None)
    assert settled(mask=ELSEWHERE) == replace(BOLT.instance, box=None, mask=ELSEWHERE)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label": "nut"},
        {"mask": None},
        {"mask": REPAINTED},
        {"box": None, "mask": REPAINTED},
        {"box": None, "label": "nut"},
        {"box": AWAY, "mask": REPAINTED},
        {"box": AWAY, "mask": ELSEWHERE},
        {"box": Box(91.0, 91.0, 215.0, 215.0)},
    ],
)
def test_what_was_meant_stays(changes: dict[str, Any]) -> None:
    assert settled(**changes) == replace(BOLT.instance, **changes)


def test_only_what_was_shown_in_parts_is_settled() -> None:
    """A mask alone stays where no box was shown beside it, and so does what a person drew."""
    alone = replace(BOLT, instance=replace(BOLT.instance, box=None))
    drawn = replace(alone, id=RegionId("AbCdEfGhIj"), origin="person")
    review = Annotation(ImageId("sha256:" + "5" * 64), SIZE, "user-1", "labeled", (alone, drawn))
    assert settle_parts(review, as_shown(REGIONS, Shown("both"))) == review
    assert settle_parts(review, REGIONS).regions == (drawn,)
    assert [in_parts(one) for one in (BOLT, alone, drawn)] == [False, True, False]
