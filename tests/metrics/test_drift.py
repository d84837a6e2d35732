"""What changes from week to week, what is taken for what, and where the work is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from detseg.metrics.cases import Case
from detseg.metrics.costs import CostModel
from detseg.metrics.drift import N_COSTLY, Drift, find_drift
from detseg.metrics.work_log import WorkLog
from detseg.types import Arm, Region
from tests.metrics.made import annotation, boxed, case

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)  # of week 2
SHOWN = [boxed(f"r{k}", "bolt", (10.0 * k, 0, 10.0 * k + 8, 8), 0.9) for k in range(4)]


def drift_of(cases: Sequence[Case]) -> Drift:
    log = WorkLog(CostModel())
    for one in cases:
        log.add(one)
    return find_drift(log.tables())


def week(number: int, n: int, *, kept: float, seed: int = 0, model: str = "made@00000001") -> list[Case]:
    """Images of one week, whose regions are kept with that probability."""
    rng = np.random.default_rng([seed, number + 100])
    when = MONDAY + timedelta(weeks=number)
    return [
        case(
            annotation(SHOWN, image=f"{number} {i}"),
            annotation(
                [region for region in SHOWN if rng.random() < kept], image=f"{number} {i}", updated_at=when
            ),
            model_version=model,
        )
        for i in range(n)
    ]


def test_a_fall_is_flagged_in_the_week_in_which_it_came() -> None:
    cases = [*week(0, 80, kept=0.9), *week(1, 80, kept=0.9), *week(2, 80, kept=0.6), *week(3, 80, kept=0.6)]
    weeks = drift_of(cases).weeks
    assert [one.week for one in weeks] == ["2026-W02", "2026-W03", "2026-W04", "2026-W05"]
    assert [one.changed for one in weeks] == [False, False, True, False]
    assert (weeks[0].change, weeks[0].change_low, weeks[0].change_high) == (None, None, None)
    fall = weeks[2]
    assert fall.change is not None
    assert fall.change_low is not None
    assert fall.change_high is not None
    assert -1.0 <= fall.change_low <= fall.change <= fall.change_high < 0.0
    assert fall.acceptance_rate.value == pytest.approx(0.6, abs=0.06)


def test_chance_is_flagged_in_few_projects() -> None:
    """Ten weeks of the same acceptance: 5 % of such projects may show a change, not 5 % of their weeks."""
    flagged = sum(
        any(
            one.changed
            for one in drift_of([c for w in range(10) for c in week(w, 20, kept=0.8, seed=seed)]).weeks
        )
        for seed in range(60)
    )
    assert flagged <= 6


def test_people_who_take_turns_are_no_drift() -> None:
    """Of two people on each image one counts in the comparison, and each is compared with themselves."""
    cases = []
    for number in range(6):
        when, kept = MONDAY + timedelta(weeks=number), (SHOWN, SHOWN[:2])
        for i in range(30):
            image, who = f"{number} {i}", int(i < 5 * number)
            again = annotation(kept[who], image=image, author="cho", updated_at=when)
            mine = annotation(kept[who], image=image, author=("ann", "bea")[who], updated_at=when)
            cases.append(case(annotation(SHOWN, image=image), mine, *([again] if i % 10 == 0 else [])))
    alone = [replace(one, reviews=one.reviews[:1]) for one in cases]
    assert not any(week.changed for week in drift_of(alone).weeks)
    assert [week.acceptance_rate.n for week in drift_of(cases).weeks] == [30] * 6


def test_a_week_of_one_image_flags_nothing() -> None:
    weeks = drift_of([*week(0, 100, kept=1.0), *week(1, 1, kept=0.0)]).weeks
    assert weeks[1].change == -1.0
    assert not weeks[1].changed
    assert weeks[1].acceptance_rate.value is None


def test_weeks_come_by_time_across_years_and_without_dates_not_at_all() -> None:
    undated = case(annotation(SHOWN, image="x"), annotation(SHOWN, image="x"))
    cases = [*week(1, 3, kept=1.0), undated, *week(-2, 3, kept=1.0)]
    assert [one.week for one in drift_of(cases).weeks] == ["2025-W52", "2026-W03"]


def test_another_model_is_named_in_its_week() -> None:
    cases = [*week(0, 5, kept=0.9), *week(1, 5, kept=0.5, model="b@00000002"), *week(1, 5, kept=0.5)]
    assert [one.model_versions for one in drift_of(cases).weeks] == [
        ("made@00000001",),
        ("b@00000002", "made@00000001"),
    ]


def renamed(region: Region, label: str) -> Region:
    return replace(region, instance=replace(region.instance, label=label))


def test_what_is_taken_for_what() -> None:
    cases = []
    for i in range(40):
        after = [renamed(SHOWN[0], "nut"), *SHOWN[1:]]
        if i % 4 == 0:
            after[1] = renamed(SHOWN[1], "gear")
        cases.append(case(annotation(SHOWN, image=str(i)), annotation(after, image=str(i))))
    nut, gear = drift_of(cases).relabels
    assert (nut.model_label, nut.person_label, nut.n) == ("bolt", "nut", 40)
    assert nut.share.value == 0.25
    assert (gear.person_label, gear.n) == ("gear", 10)
    assert gear.share.value == pytest.approx(10 / 160)


def test_the_dearest_images_come_first() -> None:
    nothing = case(annotation(SHOWN, image="kept"), annotation(SHOWN, image="kept"))
    one = case(annotation(SHOWN, image="one"), annotation(SHOWN[1:], image="one"))
    drawn = [*SHOWN, boxed("new", "nut", (1, 20, 9, 28))]
    dear = case(annotation(SHOWN, image="dear"), annotation(drawn, image="dear"))
    found = drift_of([nothing, one, dear]).costly_images
    assert [(image.image, image.n_edits) for image in found] == [("dear", 1), ("one", 1)]
    assert [image.cost_s for image in found] == [4 * 7.0 + 35.0, 4 * 7.0]


def test_two_reviews_of_an_image_are_two_works_and_their_cost_is_a_mean() -> None:
    both = case(
        annotation(SHOWN),
        annotation(SHOWN, author="ann"),
        annotation([*SHOWN, boxed("new", "nut", (1, 20, 9, 28))], author="bea"),
    )
    (image,) = drift_of([both]).costly_images
    assert image.cost_s == 4 * 7.0 + 35.0 / 2
    assert image.n_edits == 1


def test_equally_dear_images_come_by_id_and_the_list_ends() -> None:
    cases = [
        case(annotation(SHOWN, image=f"{i:04}"), annotation(image=f"{i:04}")) for i in range(N_COSTLY + 50)
    ]
    found = drift_of(cases[::-1]).costly_images
    assert [image.image for image in found] == [f"{i:04}" for i in range(N_COSTLY)]


@pytest.mark.parametrize("arm", ["control", "decoy"])
def test_arms_that_say_nothing_of_the_model_drift_nowhere(arm: Arm) -> None:
    cases = [replace(one, arm=arm) for one in week(0, 5, kept=0.5)]
    assert drift_of(cases) == Drift((), (), ())
    assert drift_of([]) == Drift((), (), ())
