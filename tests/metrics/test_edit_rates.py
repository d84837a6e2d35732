"""What people did to what the model said, counted over cases."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.metrics.cases import Case
from detseg.metrics.edit_rates import EditRates, Edits
from detseg.metrics.edits import EditCounts, find_edits
from detseg.metrics.intervals import UNKNOWN, unseen_share
from detseg.metrics.work import WorkTally
from detseg.types import ARMS, EDIT_KINDS, Annotation, Box, EditKind, ImageId, Region, RegionId, Size
from tests.metrics.made import annotation, block, boxed, case, masked

BOLT = boxed("r1", "bolt", (2, 2, 12, 12), 0.9)
NUT = boxed("r2", "nut", (20, 5, 30, 15), 0.65)
BELT = masked("r3", "belt", block(0, 20, 40, 30), score=0.8, kind="stuff")
SOME_DAY = datetime(2026, 2, 11, 12, tzinfo=UTC)  # a Wednesday of week 7


def edits_of(cases: Sequence[Case]) -> Edits:
    tally = WorkTally()
    for one in cases:
        tally.add(one)
    return tally.result().edits


def many(n: int, prediction: Annotation, *reviews: Annotation) -> list[Case]:
    """That case on many images."""
    ids = [ImageId(f"sha256:{i}") for i in range(n)]
    return [
        case(replace(prediction, image=i), *(replace(review, image=i) for review in reviews)) for i in ids
    ]


def test_rates_are_shares_of_what_was_said() -> None:
    added = boxed("new", "nut", (1, 14, 9, 19))
    edits = edits_of(many(30, annotation([BOLT, NUT, BELT]), annotation([BOLT, BELT, added])))
    assert edits.all.counts == EditCounts(kept=60, deleted=30, added=30)
    assert edits.all.acceptance_rate.value == pytest.approx(2 / 3)
    assert edits.all.deletion_rate.value == pytest.approx(1 / 3)
    assert edits.all.addition_rate.value == pytest.approx(1 / 3)
    assert edits.all.edits_per_image.value == 2.0
    assert (edits.n_images, edits.n_reviews, edits.n_declined) == (30, 30, 0)
    assert edits.per_class["nut"].counts == EditCounts(deleted=30, added=30)
    assert edits.per_class["bolt"].acceptance_rate.value == 1.0
    assert edits.per_class["bolt"].edits_per_image.value == 0.0
    high = edits.per_class["bolt"].edits_per_image.high
    assert high is not None
    assert unseen_share(30) < high < 0.17  # what one image in nine would make, seen on none of 30


def test_slices_are_named_by_model_annotator_week_and_score() -> None:
    nobody_knows = annotation([boxed("r1", "bolt", (2, 2, 12, 12))])
    cases = [
        case(annotation([BOLT, NUT]), annotation([BOLT], author="bea", updated_at=SOME_DAY)),
        case(
            replace(nobody_knows, image=ImageId("b")),
            annotation([BOLT], image="b", author="ann"),
            annotation([BOLT], image="b", author="bea", updated_at=SOME_DAY + timedelta(days=7)),
            model_version="other@00000002",
        ),
    ]
    edits = edits_of(cases)
    assert list(edits.per_model_version) == ["made@00000001", "other@00000002"]
    assert {name: of.n_images for name, of in edits.per_annotator.items()} == {"ann": 1, "bea": 2}
    assert list(edits.per_week) == ["2026-W07", "2026-W08", "unknown"]
    assert list(edits.per_score) == ["0.6-0.7", "0.9-1.0", "unknown"]
    assert edits.per_score["0.6-0.7"].counts == EditCounts(deleted=1)
    assert edits.per_score["unknown"].counts == EditCounts(kept=2)
    assert edits.per_score["unknown"].addition_rate == UNKNOWN


@pytest.mark.parametrize(
    ("score", "tenth"),
    [(0.0, "0.0-0.1"), (0.3, "0.3-0.4"), (0.7, "0.7-0.8"), (0.999, "0.9-1.0"), (1.0, "0.9-1.0")],
)
def test_a_score_is_in_the_tenth_that_it_opens(score: float, tenth: str) -> None:
    assert list(
        edits_of([case(annotation([boxed("r", "bolt", (1, 1, 5, 5), score)]), annotation())]).per_score
    ) == [tenth]


def test_how_far_regions_went() -> None:
    moved = boxed("r1", "bolt", (4, 2, 14, 14))  # 2, 0, 2 and 2 px
    repainted = masked("r3", "belt", block(0, 25, 40, 30), kind="stuff")  # half of it erased
    edits = edits_of([case(annotation([BOLT, NUT, BELT]), annotation([moved, NUT, repainted]))])
    assert edits.how_far.moved_px.p50 == 1.5
    assert edits.how_far.repainted.p50 == pytest.approx(0.5)
    assert edits.how_far.iou.n == 2
    assert edits.how_far_per_class["bolt"].iou.p50 == pytest.approx(80 / 140)
    assert edits.how_far_per_class["belt"].iou.p50 == pytest.approx(0.5)
    assert edits.how_far_per_class["nut"].iou.n == 0
    assert edits.how_far_per_class["nut"].iou.p50 is None


def test_only_people_who_were_shown_something_are_asked_what_they_did_to_it() -> None:
    cases = [case(annotation([BOLT], image=arm), annotation(image=arm), arm=arm) for arm in ARMS]
    edits = edits_of(cases)
    assert edits.n_images == 2  # assisted and gold
    assert edits.all.counts == EditCounts(deleted=2)


def test_reviews_that_judge_nothing_are_counted_apart() -> None:
    cases = [
        case(
            annotation([BOLT]), annotation([BOLT], state="skipped"), annotation(author="b", state="unlabeled")
        ),
        case(annotation([BOLT], image="b")),
    ]
    edits = edits_of(cases)
    assert (edits.n_images, edits.n_reviews, edits.n_declined) == (0, 0, 2)
    assert edits.all.counts == EditCounts()
    assert edits.all.acceptance_rate.value is None


def test_no_cases_and_one_case_make_no_figures_and_no_trouble() -> None:
    nothing, one = edits_of([]), edits_of([case(annotation([BOLT]), annotation([BOLT]))])
    assert nothing.all.counts == EditCounts()
    assert nothing.all.acceptance_rate.value is None
    assert (nothing.per_class, nothing.per_week, nothing.per_score) == ({}, {}, {})
    assert one.all.counts == EditCounts(kept=1)
    assert one.all.acceptance_rate.value is None
    assert one.all.acceptance_rate.n == 1


def test_annotators_who_disagree_on_everything_count_both() -> None:
    agree, deny = annotation([BOLT, NUT], author="yes"), annotation(author="no")
    edits = edits_of(many(40, annotation([BOLT, NUT]), deny, agree))
    assert (edits.n_images, edits.n_reviews) == (40, 80)
    assert edits.all.acceptance_rate.value == 0.5
    assert edits.per_annotator["yes"].acceptance_rate.value == 1.0
    assert edits.per_annotator["no"].acceptance_rate.value == 0.0
    assert edits.all.edits_per_image.value == 1.0


def test_a_mask_of_another_size_than_its_image_is_reshaped_and_says_no_share() -> None:
    larger = masked("r3", "belt", block(0, 20, 40, 30, size=Size(80, 60)), kind="stuff")
    edits = edits_of([case(annotation([BELT]), annotation([larger]))])
    assert edits.all.counts == EditCounts(reshaped=1)
    assert edits.how_far.iou.p50 == 0.0
    assert edits.how_far.repainted.n == 0


def test_an_empty_mask_is_reshaped_and_says_no_share() -> None:
    empty = masked("r3", "belt", block(0, 0, 0, 0), score=0.8, kind="stuff")
    assert edits_of([case(annotation([empty]), annotation([BELT]))]).how_far.repainted.n == 0
    assert edits_of([case(annotation([BELT]), annotation([empty]))]).how_far.repainted.p50 == 1.0
    assert edits_of([case(annotation([empty]), annotation([empty]))]).all.counts == EditCounts(kept=1)


def test_labels_that_were_renamed_on_the_server_are_relabels_under_the_old_name() -> None:
    renamed = replace(BOLT, instance=replace(BOLT.instance, label="screw"))
    edits = edits_of(many(20, annotation([BOLT]), annotation([renamed])))
    assert edits.all.counts == EditCounts(relabeled=20)
    assert list(edits.per_class) == ["bolt"]


boxes = st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 10), st.integers(1, 10)).map(
    lambda v: (float(v[0]), float(v[1]), float(v[0] + v[2]), float(v[1] + v[3]))
)
regions = st.lists(
    st.builds(
        boxed,
        st.sampled_from("abcdefgh"),
        st.sampled_from(["bolt", "nut"]),
        boxes,
        st.none() | st.floats(0, 1),
    ),
    max_size=5,
    unique_by=lambda region: region.id,
)
dates = st.none() | st.datetimes(datetime(2025, 12, 20), datetime(2026, 1, 20), timezones=st.just(UTC))
cases_of_any_kind = st.lists(
    st.builds(
        lambda shown, drawn, when, seconds, arm, model: case(
            annotation(shown),
            annotation(drawn, updated_at=when, lead_time_s=seconds),
            arm=arm,
            model_version=model,
        ),
        regions,
        regions,
        dates,
        st.none() | st.floats(),
        st.sampled_from(ARMS),
        st.sampled_from(["a@00000001", "b@00000001"]),
    ),
    max_size=12,
).map(
    lambda cases: [
        replace(
            one,
            image=ImageId(str(i)),
            prediction=replace(one.prediction, image=ImageId(str(i))),
            reviews=tuple(replace(review, image=ImageId(str(i))) for review in one.reviews),
        )
        for i, one in enumerate(cases)
    ]
)


def total(slices: Sequence[EditRates]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for of in slices:
        counts.update({kind: getattr(of.counts, kind) for kind in EDIT_KINDS})
    return counts


@given(cases_of_any_kind)
def test_slices_add_up_to_the_whole(cases: list[Case]) -> None:
    edits = edits_of(cases)
    whole = total([edits.all])
    for slices in (edits.per_class, edits.per_model_version, edits.per_annotator, edits.per_week):
        assert total(list(slices.values())) == whole
        assert list(slices) == sorted(slices)
    of_the_model = Counter({kind: n for kind, n in whole.items() if kind != "added"})
    assert total(list(edits.per_score.values())) + Counter() == of_the_model + Counter()


@given(cases_of_any_kind, st.randoms(use_true_random=False))
def test_the_order_of_the_cases_changes_no_count(cases: list[Case], order: random.Random) -> None:
    shuffled = order.sample(cases, len(cases))
    first, second = edits_of(cases), edits_of(shuffled)
    assert first.how_far == second.how_far
    for name in ("per_class", "per_model_version", "per_annotator", "per_week", "per_score"):
        of_first, of_second = getattr(first, name), getattr(second, name)
        assert {key: of.counts for key, of in of_first.items()} == {
            key: of.counts for key, of in of_second.items()
        }


def scripted(rng: random.Random, region: Region) -> tuple[EditKind, Region | None]:
    """A change of a region, and what it is."""
    instance = region.instance
    kind = rng.choice(["kept", "moved", "reshaped", "relabeled", "deleted"])
    if kind == "moved" and instance.mask is None and instance.box is not None:
        x0, y0, x1, y1 = instance.box.xyxy
        return "moved", replace(region, instance=replace(instance, box=Box(x0 + 0.5, y0, x1 + 1.0, y1)))
    if kind == "reshaped" and instance.mask is not None:
        x, y = 15 + rng.randrange(10), 15 + rng.randrange(10)
        return "reshaped", replace(region, instance=replace(instance, mask=block(x, y, x + 3, y + 3)))
    if kind == "relabeled":
        return "relabeled", replace(region, instance=replace(instance, label=f"not {instance.label}"))
    return ("deleted", None) if kind == "deleted" else ("kept", region)


def test_every_change_of_a_script_is_found_and_none_invented() -> None:
    """2,000 images, boxes and masks; half of the kept and moved regions lose their ids on the way."""
    rng = random.Random(0)
    done: Counter[str] = Counter()
    tally = WorkTally()
    for n in range(2000):
        shown = [
            boxed("r0", "bolt", (2, 2, 12, 12), 0.9),
            masked("r1", "belt", block(15, 15, 30, 28), score=0.7),
            boxed("r2", "nut", (25, 1, 37, 11), 0.6),
        ]
        after = []
        for region in shown:
            kind, changed = scripted(rng, region)
            done[kind] += 1
            if changed and kind in ("kept", "moved") and rng.random() < 0.5:
                changed = replace(changed, id=RegionId(f"anew-{region.id}"))
            after += [changed] if changed else []
        if rng.random() < 0.3:
            after.append(boxed("more", "gear", (1, 16, 7, 22)))
            done["added"] += 1
        tally.add(case(annotation(shown, image=str(n)), annotation(after, image=str(n))))
    counts = tally.result().edits.all.counts
    assert {field.name: getattr(counts, field.name) for field in fields(counts)} == done


def test_the_edits_of_a_case_are_those_of_find_edits() -> None:
    shown, drawn = annotation([BOLT, NUT]), annotation([NUT, BELT])
    kinds = Counter(edit.kind for edit in find_edits(shown, drawn))
    assert total([edits_of([case(shown, drawn)]).all]) + Counter() == kinds
