from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.metrics.edits import EditCounts, find_edits
from detseg.metrics.pairs import pair_annotations
from detseg.types import Annotation, Box, Edit, Region
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


def test_a_redrawn_region_meets_its_own_label_before_a_better_overlap_of_another() -> None:
    redrawn = boxed("n1", "bolt", (4, 2, 14, 12))
    other = boxed("n2", "nut", (2, 2, 12, 12))
    edits = find_edits(annotation([BOLT]), annotation([other, redrawn]))
    assert edits[0].after == redrawn
    assert [edit.kind for edit in edits] == ["moved", "added"]


def test_the_id_wins_over_a_better_overlap() -> None:
    moved_away = boxed("r1", "bolt", (20, 15, 30, 25))
    in_its_place = boxed("new", "bolt", (2, 2, 12, 12))
    edits = find_edits(annotation([BOLT]), annotation([in_its_place, moved_away]))
    assert [edit.kind for edit in edits] == ["moved", "added"]
    assert edits[0].iou == 0.0


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
