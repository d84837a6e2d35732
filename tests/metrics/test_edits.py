from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.geometry.masks import bitmap_to_mask
from detseg.metrics.cases import pair_annotations
from detseg.metrics.edits import EditCounts, find_edits
from detseg.types import Annotation, Box, Edit, Region, RegionId, Size
from tests.metrics.made import annotation, block, boxed, masked

BOLT = boxed("r1", "bolt", (2, 2, 12, 12), 0.9)
NUT = boxed("r2", "nut", (20, 5, 30, 15), 0.8)


def kinds(before: list[Region], after: list[Region]) -> list[str]:
    return [edit.kind for edit in find_edits(annotation(before), annotation(after))]


def one(before: list[Region], after: list[Region]) -> Edit:
    (edit,) = find_edits(annotation(before), annotation(after))
    return edit


def test_what_is_left_alone_is_kept() -> None:
    assert kinds([BOLT, NUT], [BOLT, NUT]) == ["kept", "kept"]
    assert one([BOLT], [BOLT]).iou == 1.0


def test_float_noise_of_the_page_is_no_edit_but_a_tenth_of_a_pixel_is() -> None:
    assert kinds([BOLT], [boxed("r1", "bolt", (2.04, 2, 12, 11.96))]) == ["kept"]
    assert kinds([BOLT], [boxed("r1", "bolt", (2.1, 2, 12, 12))]) == ["moved"]


def test_a_moved_box_says_how_far_by_its_iou() -> None:
    edit = one([BOLT], [boxed("r1", "bolt", (4, 2, 14, 12))])
    assert edit.kind == "moved"
    assert edit.iou == pytest.approx(80 / 120)


def test_a_changed_label_wins_over_a_changed_box() -> None:
    assert kinds([BOLT], [boxed("r1", "nut", (4, 2, 14, 12))]) == ["relabeled"]


def test_a_repainted_mask_is_reshaped_whatever_its_box_does() -> None:
    before = masked("r1", "bolt", block(2, 2, 12, 12), score=0.9, box=Box(2, 2, 12, 12))
    after = masked("r1", "bolt", block(2, 2, 12, 11), box=Box(2, 2, 12, 11))
    edit = one([before], [after])
    assert edit.kind == "reshaped"
    assert edit.iou == pytest.approx(0.9)


def test_a_mask_that_lost_one_pixel_in_two_thousand_is_kept() -> None:
    size = annotation().size
    before, after = block(0, 0, size.width, size.height), block(0, 0, size.width, size.height)
    assert kinds([masked("a", "belt", before, kind="stuff")], [masked("a", "belt", after, kind="stuff")]) == [
        "kept"
    ]
    nearly = type(before)(size, (1, size.area - 1))
    assert kinds(
        [masked("a", "belt", before, kind="stuff")], [masked("a", "belt", nearly, kind="stuff")]
    ) == ["kept"]
    less = type(before)(size, (2, size.area - 2))
    assert kinds([masked("a", "belt", before, kind="stuff")], [masked("a", "belt", less, kind="stuff")]) == [
        "reshaped"
    ]


@pytest.mark.parametrize(("side", "kind"), [(10, "reshaped"), (5, "reshaped"), (4, "kept"), (1, "kept")])
def test_a_hole_that_was_filled_in_a_large_surface_is_a_change(side: int, kind: str) -> None:
    """100 px of 307,200 are an IoU of 0.9997, and a hole all the same."""
    large = Size(640, 480)
    whole = np.ones((480, 640), dtype=bool)
    holed = whole.copy()
    holed[200 : 200 + side, 300 : 300 + side] = False
    before = masked("a", "belt", bitmap_to_mask(holed), kind="stuff", score=0.9)
    after = masked("a", "belt", bitmap_to_mask(whole), kind="stuff")
    edits = find_edits(annotation([before], size=large), annotation([after], size=large))
    assert [edit.kind for edit in edits] == [kind]


def test_moving_only_the_box_of_a_masked_thing_is_moved() -> None:
    before = masked("r1", "bolt", block(2, 2, 12, 12), score=0.9, box=Box(2, 2, 12, 12))
    after = masked("r1", "bolt", block(2, 2, 12, 12), box=Box(2, 2, 17, 12))
    edit = one([before], [after])
    assert edit.kind == "moved"
    assert edit.iou == pytest.approx(100 / 150)


def test_removing_one_half_of_a_thing_is_a_change() -> None:
    both = masked("r1", "bolt", block(2, 2, 12, 12), score=0.9, box=Box(2, 2, 12, 12))
    assert kinds([both], [boxed("r1", "bolt", (2, 2, 12, 12))]) == ["reshaped"]
    assert kinds([both], [masked("r1", "bolt", block(2, 2, 12, 12))]) == ["kept"]


def test_deleted_and_added_stand_alone() -> None:
    far = boxed("new", "bolt", (25, 20, 35, 28))
    edits = find_edits(annotation([BOLT]), annotation([far]))
    assert edits == (Edit("deleted", BOLT, None), Edit("added", None, far))


def test_deleting_and_drawing_anew_is_a_change_not_two() -> None:
    assert kinds([BOLT, NUT], [NUT, boxed("new", "bolt", (3, 2, 13, 12))]) == ["moved", "kept"]
    mask = masked("r1", "bolt", block(2, 2, 12, 12), score=0.9)
    assert kinds([mask], [masked("new", "bolt", block(2, 2, 12, 10))]) == ["reshaped"]
    assert kinds([BOLT], [boxed("new", "gear", (2, 2, 12, 12))]) == ["relabeled"]


def test_a_relabeled_redraw_at_the_same_place_wins_over_a_neighbour_of_the_same_label() -> None:
    neighbour = boxed("n1", "bolt", (4, 2, 14, 12))
    in_its_place = boxed("n2", "nut", (2, 2, 12, 12))
    edits = find_edits(annotation([BOLT]), annotation([neighbour, in_its_place]))
    assert edits == (Edit("relabeled", BOLT, in_its_place, 1.0), Edit("added", None, neighbour))


def test_of_equal_overlaps_the_same_label_wins() -> None:
    drawn = [boxed("n1", "nut", (3, 2, 13, 12)), boxed("n2", "bolt", (1, 2, 11, 12))]
    for order in (drawn, drawn[::-1]):
        edits = find_edits(annotation([BOLT]), annotation(order))
        assert [(edit.kind, edit.after and edit.after.id) for edit in edits] == [
            ("moved", "n2"),
            ("added", "n1"),
        ]


def test_a_region_that_was_dragged_off_its_object_is_deleted_and_added() -> None:
    away = boxed("r1", "bolt", (20, 15, 30, 25))
    assert find_edits(annotation([BOLT]), annotation([away])) == (
        Edit("deleted", BOLT, None),
        Edit("added", None, away),
    )
    assert kinds([BOLT], [boxed("r1", "bolt", (11, 11, 21, 21))]) == ["moved"]  # a corner still meets
    assert kinds([BOLT, NUT], [boxed("r1", "bolt", (20, 5, 30, 15)), NUT]) == ["deleted", "kept", "added"]
    assert kinds([BOLT, NUT], [boxed("r1", "bolt", (20, 5, 30, 15))]) == ["deleted", "relabeled"]
    far = masked("a", "bolt", block(20, 15, 30, 25))
    assert kinds([masked("a", "bolt", block(2, 2, 12, 12), score=0.9)], [far]) == ["deleted", "added"]


def test_what_looks_the_same_is_kept_whatever_its_id_is() -> None:
    swapped = [boxed("r2", "bolt", (2, 2, 12, 12)), boxed("r1", "nut", (20, 5, 30, 15))]
    assert kinds([BOLT, NUT], swapped) == ["kept", "kept"]
    touching = [boxed("a", "bolt", (2, 2, 12, 12), 0.9), boxed("b", "bolt", (6, 2, 16, 12), 0.9)]
    exchanged = [boxed("b", "bolt", (2, 2, 12, 12)), boxed("a", "bolt", (6, 2, 16, 12))]
    assert kinds(touching, exchanged) == ["kept", "kept"]
    copied = [boxed("new", "bolt", (2, 2, 12, 12)), boxed("r1", "bolt", (20, 15, 30, 25))]
    assert kinds([BOLT], copied) == ["kept", "added"]


def test_an_empty_review_deletes_everything_a_skipped_one_nothing() -> None:
    prediction = annotation([BOLT, NUT])
    assert [edit.kind for edit in find_edits(prediction, annotation())] == ["deleted", "deleted"]
    assert find_edits(prediction, annotation([BOLT], state="skipped")) == ()
    assert find_edits(annotation(), annotation()) == ()


boxes = st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 10), st.integers(1, 10)).map(
    lambda v: (float(v[0]), float(v[1]), float(v[0] + v[2]), float(v[1] + v[3]))
)
regions = st.lists(
    st.builds(boxed, st.sampled_from("abcdefgh"), st.sampled_from(["bolt", "nut"]), boxes),
    max_size=6,
    unique_by=lambda region: region.id,
)


@given(regions, regions)
def test_every_region_is_in_one_edit(before: list[Region], after: list[Region]) -> None:
    edits = find_edits(annotation(before), annotation(after, state="labeled"))
    assert [edit.before for edit in edits if edit.before] == before
    assert sorted(edit.after.id for edit in edits if edit.after) == sorted(region.id for region in after)


@given(regions)
def test_the_same_regions_are_all_kept_in_any_order(before: list[Region]) -> None:
    edits = find_edits(annotation(before), annotation(before[::-1], state="labeled"))
    assert {edit.kind for edit in edits} <= {"kept"}
    assert len(edits) == len(before)


@given(regions, st.randoms(use_true_random=False))
def test_ids_alone_change_nothing(before: list[Region], random: Random) -> None:
    ids = [region.id for region in before]
    random.shuffle(ids)
    after = [replace(region, id=id_) for region, id_ in zip(before, ids, strict=True)]
    assert {edit.kind for edit in find_edits(annotation(before), annotation(after, state="labeled"))} <= {
        "kept"
    }


@given(regions, regions)
def test_the_order_of_what_was_drawn_does_not_matter(before: list[Region], after: list[Region]) -> None:
    def found(drawn: list[Region]) -> list[tuple[str, float]]:
        edits = find_edits(annotation(before), annotation(drawn, state="labeled"))
        return sorted((edit.kind, round(edit.iou or 0.0, 9)) for edit in edits)

    assert found(after) == found(after[::-1])


@given(regions.filter(lambda some: len(some) <= 4), regions.filter(lambda some: len(some) <= 4))
def test_what_lost_its_id_meets_as_in_the_best_of_all_pairings(
    before: list[Region], after: list[Region]
) -> None:
    """Every pairing is tried: first for what is the same, then for the largest sum of IoUs from 0.5 on."""
    drawn = [replace(region, id=RegionId(f"new {region.id}")) for region in after]
    edits = find_edits(annotation(before), annotation(drawn, state="labeled"))
    met = [(edit.before, edit.after) for edit in edits if edit.before and edit.after]
    assert worth(met) == pytest.approx(max(map(worth, pairings(before, drawn))))


def pairings(before: list[Region], after: list[Region]) -> Iterator[list[tuple[Region, Region]]]:
    """All ways to pair some of each."""
    if not before:
        yield []
        return
    first, *rest = before
    yield from pairings(rest, after)
    for one in after:
        for pairing in pairings(rest, [other for other in after if other is not one]):
            yield [(first, one), *pairing]


def worth(pairing: Sequence[tuple[Region, Region]]) -> tuple[int, float]:
    """The number that stayed the same, the sum of the IoUs that count, and for equal sums the labels."""
    total = 0.0
    n_same = 0
    for a, b in pairing:
        (u0, v0, u1, v1), (x0, y0, x1, y1) = corners(a), corners(b)
        shared = max(0, min(u1, x1) - max(u0, x0)) * max(0, min(v1, y1) - max(v0, y0))
        iou = shared / ((u1 - u0) * (v1 - v0) + (x1 - x0) * (y1 - y0) - shared)
        n_same += corners(a) == corners(b) and a.instance.label == b.instance.label
        total += iou if iou >= 0.5 else -1.0
    return n_same, round(total, 9)


def corners(region: Region) -> tuple[float, float, float, float]:
    assert region.instance.box is not None
    return region.instance.box.xyxy


def test_counts_of_nothing_are_undefined_not_zero() -> None:
    assert EditCounts().acceptance_rate is None
    assert EditCounts(added=3).acceptance_rate is None


def test_pairs_are_what_was_reviewed_and_predicted() -> None:
    def review(image: str, hour: int = 0, state: str = "labeled") -> Annotation:
        when = datetime(2026, 1, 1, hour, tzinfo=UTC)
        return annotation([BOLT], image=image, author=f"at {hour}", state=state, updated_at=when)  # type: ignore[arg-type]

    truth = [
        review("c"),
        review("a", 2),
        review("a", 1),
        review("skip", 1),
        review("skip", 2, state="skipped"),
        review("unpredicted"),
    ]
    predictions = [annotation([NUT], image=image) for image in ("never reviewed", "skip", "c", "a")]
    pairs = pair_annotations(truth, predictions)
    assert [pair.truth.image for pair in pairs] == ["a", "c"]
    assert pairs[0].truth.author == "at 2"
    with pytest.raises(ValueError, match="two predictions"):
        pair_annotations(truth, [annotation(author="m1"), annotation(author="m2")])
