"""How long people took, without the reviews that were left open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from detseg.metrics.cases import Case
from detseg.metrics.timing import WorkTimes
from detseg.metrics.work import WorkTally
from detseg.types import Arm
from tests.metrics.made import annotation, boxed, case

BOLT = boxed("r1", "bolt", (2, 2, 12, 12), 0.9)
DAY_S = 86_400.0


def timed(seconds: Sequence[float | None], *, arm: Arm = "assisted", author: str = "ann") -> list[Case]:
    """An image for each of the lead times."""
    return [
        case(
            annotation([BOLT], image=f"{arm} {author} {i}"),
            annotation([BOLT], image=f"{arm} {author} {i}", author=author, lead_time_s=lead),
            arm=arm,
        )
        for i, lead in enumerate(seconds)
    ]


def times_of(cases: Sequence[Case]) -> WorkTimes:
    tally = WorkTally()
    for one in cases:
        tally.add(one)
    return tally.result().times


def test_seconds_per_image_of_those_who_had_help_and_who_had_not() -> None:
    times = times_of(
        timed([20.0, 30.0] * 20) + timed([60.0] * 15, arm="control") + timed([5.0] * 20, arm="decoy")
    )
    assert times.assisted.mean_s.value == 25.0
    assert times.assisted.median_s.value == 25.0
    assert times.assisted.total_h == pytest.approx(40 * 25 / 3600)
    assert times.control.mean_s.value == 60.0
    assert (times.assisted.n_reviews, times.control.n_reviews) == (40, 15)


def test_unknown_times_and_zeros_are_counted_and_days_are_trimmed() -> None:
    assisted = times_of(timed([30.0, 40.0] * 10 + [None, None, 0.0, DAY_S])).assisted
    assert (assisted.n_reviews, assisted.n_unknown, assisted.n_outliers) == (20, 3, 1)
    assert assisted.mean_s.value == 35.0


def test_with_few_times_nothing_is_a_pause_and_no_figure_is_told() -> None:
    assisted = times_of(timed([30.0, 40.0, DAY_S])).assisted
    assert (assisted.n_reviews, assisted.n_outliers) == (3, 0)
    assert (assisted.mean_s.value, assisted.median_s.value) == (None, None)


def test_each_arm_has_its_own_usual_time() -> None:
    """What is long with help is not long without."""
    times = times_of(timed([10.0] * 30) + timed([200.0] * 30, arm="control"))
    assert (times.assisted.n_outliers, times.control.n_outliers) == (0, 0)


def test_the_latest_review_of_a_person_counts_and_each_person_does() -> None:
    """Two people on one image are two reviews of one image; a case holds the latest of each."""
    when = datetime(2026, 2, 11, tzinfo=UTC)
    cases = [
        case(
            annotation([BOLT], image=str(i)),
            annotation([BOLT], image=str(i), author="ann", lead_time_s=10.0, updated_at=when),
            annotation([BOLT], image=str(i), author="bea", lead_time_s=30.0, updated_at=when),
        )
        for i in range(20)
    ]
    times = times_of(cases)
    assert times.assisted.mean_s.value == 20.0
    assert times.assisted.mean_s.n == 20
    assert times.assisted.n_reviews == 40
    assert {name: of.mean_s.value for name, of in times.per_annotator.items()} == {"ann": 10.0, "bea": 30.0}
    assert list(times.per_week) == ["2026-W07"]
    assert list(times.per_model_version) == ["made@00000001"]


def test_reviews_that_judge_nothing_have_no_time() -> None:
    skipped = case(annotation([BOLT]), annotation(state="skipped", lead_time_s=400.0))
    assert times_of([skipped]).assisted.n_reviews == 0
    assert times_of([]).control.mean_s.value is None
