"""How good the labels are week by week, and when that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from detseg.metrics.agreement import AgreementTally
from detseg.metrics.cases import Case
from detseg.metrics.experiments import GoldTally
from detseg.metrics.suspects.tally import SuspectTally
from detseg.metrics.weeks import DatedShare, WeekShare, WeekTally
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import Region
from tests.metrics.made import annotation, boxed, case

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)  # of week 2
SHOWN = [boxed(f"r{k}", "bolt", (10.0 * k, 0, 10.0 * k + 8, 8), 0.6) for k in range(4)]
TRUTH = [replace(region, origin="person") for region in SHOWN]
TINY = boxed("tiny", "bolt", (20, 20, 22, 22))


def spoiled(rng: np.random.Generator, wrong: float) -> list[Region]:
    """Four regions, of which each is so likely a tiny one in a place of its own."""
    return [
        replace(TINY, id=region.id, instance=boxed("", "bolt", (9.0 * k, 20, 9.0 * k + 2, 22)).instance)
        if rng.random() < wrong
        else region
        for k, region in enumerate(TRUTH)
    ]


def cases(wrong: Sequence[float], *, n: int = 60) -> list[Case]:
    """Images of several weeks, by the probability that a label is wrong; two people see each."""
    made = []
    for week, share in enumerate(wrong):
        for i in range(n):
            rng, when = np.random.default_rng([week, i]), MONDAY + timedelta(weeks=week)
            image = f"{week} {i}"
            one = case(
                annotation(SHOWN, image=image),
                annotation(spoiled(rng, share), image=image, author="ann", updated_at=when),
                annotation(TRUTH, image=image, author="bea", updated_at=when - timedelta(days=9)),
            )
            made.append(one)
    return made


def suspects(given: Sequence[Case]) -> tuple[WeekShare, ...]:
    tally = SuspectTally(Taxonomy((LabelClass("bolt"),)))
    for one in given:
        tally.add(one)
    return tally.result().weeks


def gold(given: Sequence[Case]) -> tuple[WeekShare, ...]:
    tally = GoldTally()
    for one in given:
        tally.add(replace(one, arm="gold", gold=annotation(TRUTH), reviews=one.reviews[:1]))
    return tally.result().weeks


def agreement(given: Sequence[Case]) -> tuple[WeekShare, ...]:
    tally = AgreementTally()
    for one in given:
        tally.add(one)
    return tally.result().weeks


@pytest.mark.parametrize(("measure", "good"), [(suspects, 0.0), (gold, 1.0), (agreement, 1.0)])
def test_a_change_is_flagged_in_the_week_in_which_it_came(
    measure: Callable[[Sequence[Case]], tuple[WeekShare, ...]], good: float
) -> None:
    weeks = measure(cases([0.05, 0.05, 0.4, 0.4]))
    assert [one.week for one in weeks] == ["2026-W02", "2026-W03", "2026-W04", "2026-W05"]
    assert [one.changed for one in weeks] == [False, False, True, False]
    assert weeks[0].share.value == pytest.approx(good, abs=0.1)
    worse = weeks[2]
    assert worse.change is not None
    assert worse.change_low is not None
    assert worse.change_high is not None
    assert worse.change_low <= worse.change <= worse.change_high
    assert abs(worse.change) == pytest.approx(0.35, abs=0.12)


def test_a_share_of_suspects_counts_regions_not_findings() -> None:
    """One tiny box among four regions, and a sure object that the review lacks: two of five."""
    sure = boxed("sure", "bolt", (25, 20, 38, 29), 0.99)
    given = [
        case(
            annotation([*SHOWN, sure], image=f"{i}"),
            annotation([TINY, *TRUTH[1:]], image=f"{i}", updated_at=MONDAY),
        )
        for i in range(40)
    ]
    (week,) = suspects(given)
    assert week.share.value == pytest.approx(2 / 5)
    assert week.share.n == 40


def test_what_has_no_date_or_no_region_is_of_no_week() -> None:
    tally = WeekTally()
    tally.add(DatedShare(None, 1, 2, "ann"))
    tally.add(DatedShare(MONDAY, 0, 0, "ann"))
    assert tally.result() == ()
    tally.add(DatedShare(MONDAY, 1, 2, "ann"))
    (week,) = tally.result()
    assert (week.week, week.change, week.changed) == ("2026-W02", None, False)
    assert week.share.value is None  # of one image nobody can say it
    assert suspects([]) == gold([]) == agreement([]) == ()


def test_two_reviews_of_an_image_are_one_image() -> None:
    """Two people who see the same in each image tell of the images no more than one of them does."""
    once, twice = WeekTally(), WeekTally()
    for n_right in (4, 4, 3, 4, 2, 4, 4, 0, 4, 4):
        ann, bea = (DatedShare(MONDAY, n_right, 4, who) for who in ("ann", "bea"))
        once.add(ann)
        twice.add(ann, bea)
    assert twice.result()[0].share == once.result()[0].share
    assert once.result()[0].share.n == 10


def test_the_order_of_the_images_changes_nothing() -> None:
    given = cases([0.1, 0.3], n=15)
    for measure in (suspects, gold, agreement):
        there, back = measure(given), measure(given[::-1])
        assert [(one.week, one.changed) for one in back] == [(one.week, one.changed) for one in there]
        assert [one.share.value for one in back] == pytest.approx([one.share.value for one in there])
