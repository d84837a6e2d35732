import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.metrics.consensus import find_consensus
from detseg.types import Annotation, Region, Size
from tests.metrics.made import annotation, block, boxed, masked

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOLT = boxed("1", "bolt", (0, 0, 10, 10))
NUT = boxed("2", "nut", (20, 10, 30, 20))


def said(*people: Sequence[Region]) -> list[Annotation]:
    return [annotation(regions, author=f"person {n}") for n, regions in enumerate(people)]


regions = st.lists(
    st.tuples(st.sampled_from(["bolt", "nut"]), st.integers(0, 20), st.integers(0, 15), st.integers(4, 12)),
    max_size=4,
).map(
    lambda some: [
        boxed(f"r{i}", label, (x, y, x + side, y + side)) for i, (label, x, y, side) in enumerate(some)
    ]
)


@given(
    people=st.lists(regions, min_size=1, max_size=5), order=st.randoms(), quorum=st.none() | st.integers(1, 5)
)
def test_the_order_of_the_reviews_does_not_matter(
    people: list[list[Region]], order: object, quorum: int | None
) -> None:
    reviews = said(*people)
    shuffled = list(reviews)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert find_consensus(shuffled, quorum=quorum) == find_consensus(reviews, quorum=quorum)


@given(people=st.lists(regions, min_size=1, max_size=5))
def test_every_object_is_accepted_outvoted_or_disputed_once(people: list[list[Region]]) -> None:
    reviews = said(*people)
    found = find_consensus(reviews)
    everything = find_consensus(reviews, quorum=1)
    assert found is not None
    assert everything is not None
    assert everything.disputed == ()
    n_objects = len(everything.annotation.regions)
    assert n_objects >= max(map(len, people))
    assert len(found.annotation.regions) + len(found.disputed) <= n_objects
    if len(people) % 2:
        assert found.disputed == ()  # an odd number of people is never divided
    assert (found.annotation.state == "empty") == (not found.annotation.regions)


@given(mine=regions, n=st.integers(1, 4))
def test_people_who_say_the_same_are_taken_at_their_word(mine: list[Region], n: int) -> None:
    found = find_consensus(said(*[mine] * n))
    assert found is not None
    assert len(found.annotation.regions) == len(mine)
    assert found.disputed == ()
    if n == 1:
        assert found.annotation.regions == tuple(mine)


def test_two_against_one() -> None:
    found = find_consensus(said([BOLT, NUT], [BOLT], [BOLT]))
    assert found is not None
    assert [region.id for region in found.annotation.regions] == ["1"]
    assert found.annotation.author == "consensus"
    found = find_consensus(said([BOLT, NUT], [BOLT], [BOLT]), quorum=1)
    assert found is not None
    assert [region.id for region in found.annotation.regions] == ["1", "2"]


def test_one_against_one_is_a_dispute() -> None:
    found = find_consensus(said([BOLT, NUT], [BOLT]))
    assert found is not None
    assert [region.id for region in found.annotation.regions] == ["1"]
    assert [region.id for region in found.disputed] == ["2"]
    nothing = find_consensus(said([BOLT], []))
    assert nothing is not None
    assert (nothing.annotation.state, len(nothing.disputed)) == ("empty", 1)


def test_boxes_are_medians_and_masks_majorities() -> None:
    boxes = [boxed("1", "bolt", (x, 0, x + 10, 10)) for x in (0, 1, 4)]
    found = find_consensus(said(*([box] for box in boxes)))
    assert found is not None
    (region,) = found.annotation.regions
    assert region.instance.box is not None
    assert region.instance.box.xyxy == (1, 0, 11, 10)
    masks = [masked("m", "belt", block(x, 0, x + 12, 10), kind="stuff") for x in (0, 1, 4)]
    found = find_consensus(said(*([mask] for mask in masks)))
    assert found is not None
    assert found.annotation.regions[0].instance.mask == block(1, 0, 13, 10)
    assert found.annotation.regions[0].instance.kind == "stuff"


def test_what_only_one_of_three_drew_a_mask_of_is_a_box() -> None:
    both = masked("1", "bolt", block(0, 0, 10, 10), box=BOLT.instance.box)
    found = find_consensus(said([both], [BOLT], [BOLT]))
    assert found is not None
    (region,) = found.annotation.regions
    assert (region.instance.box, region.instance.mask) == (BOLT.instance.box, None)


def test_who_did_not_judge_has_no_vote() -> None:
    skipped = annotation(author="cyd", state="skipped")
    found = find_consensus([*said([BOLT]), skipped])
    assert found is not None
    assert [region.id for region in found.annotation.regions] == ["1"]
    assert find_consensus([skipped]) is None
    assert find_consensus([]) is None
    assert find_consensus(said([BOLT]), quorum=2) is None


def test_the_latest_moment_counts() -> None:
    first, second = said([BOLT], [BOLT])
    late = replace(second, updated_at=NOON + timedelta(hours=1))
    found = find_consensus([late, replace(first, updated_at=NOON)])
    assert found is not None
    assert found.annotation.updated_at == late.updated_at


@pytest.mark.parametrize("label", ["bolt", "nut"])
def test_a_label_is_voted_for(label: str) -> None:
    other = boxed("9", "nut" if label == "bolt" else "bolt", (0, 0, 10, 10))
    mine = boxed("1", label, (0, 0, 10, 10))
    found = find_consensus(said([other], [mine], [mine]))
    assert found is not None
    assert [region.instance.label for region in found.annotation.regions] == [label]


def test_many_objects_of_many_people_are_compared_two_people_at_a_time() -> None:
    boxes = [
        boxed(f"r{i}", "bolt", (x, y, x + 9, y + 9))
        for i, (x, y) in enumerate(product(range(0, 400, 10), repeat=2))
    ]
    reviews = [replace(one, size=Size(400, 400)) for one in said(boxes, boxes, boxes)]
    tracemalloc.start()
    try:
        found = find_consensus(reviews)
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert len(found.annotation.regions) == len(boxes)
    assert most_bytes < 3 * len(boxes) ** 2 * 8
