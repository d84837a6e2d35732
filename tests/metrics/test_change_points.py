"""When a share changed: by chance, by who worked, or for certain."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from bench.coverage.drift import Project, alarm_of, find_in
from bench.coverage.frame import Setup, run_setup
from detseg.metrics.change_points import Change, Units, find_changes

PROJECTS = {
    "regions of an image are alike": Project(),
    "whole images fail": Project(whole=True),
    "two people share weeks unevenly": Project(0.85, apart=0.08, is_uneven=True, whole=True),
}


def units(
    week: npt.ArrayLike, successes: npt.ArrayLike, *, person: npt.ArrayLike = 0, trials: npt.ArrayLike = 10
) -> Units:
    weeks = np.asarray(week, dtype=np.intp)
    people = np.broadcast_to(np.asarray(person, dtype=np.intp), len(weeks))
    columns = (np.broadcast_to(np.asarray(c, dtype=np.float64), len(weeks)) for c in (successes, trials))
    return Units(weeks, people, *columns)


def certain(changes: dict[int, Change]) -> list[int]:
    return sorted(week for week, change in changes.items() if change.is_certain)


@pytest.mark.parametrize("name", PROJECTS)
def test_chance_is_told_as_a_change_in_few_projects(name: str) -> None:
    """In 4 % by construction: at most 5 of these 50; it was 15, 61 and 48 %."""
    draw = partial(alarm_of, project=PROJECTS[name])
    row = run_setup(Setup("False alarms of drift", name, draw, kind="alarm"), seed=1, n_trials=50)
    assert row.n_trials - row.n_held <= 5


def test_a_fall_in_the_last_weeks_is_found_in_most_projects() -> None:
    draw = partial(find_in, project=Project(drop=0.2))
    row = run_setup(Setup("Drift that is found", "fall", draw, kind="find"), seed=1, n_trials=25)
    assert row.n_held >= 18


def test_a_change_of_people_is_no_change() -> None:
    """One keeps all, one half; ever more weeks are the second one's. Each alone is as before."""
    rng = np.random.default_rng(0)
    week = np.repeat(np.arange(8), 30)
    person = (rng.random(240) < week / 8).astype(int)
    successes = np.where(person == 1, rng.binomial(10, 0.5, 240), 10)
    assert certain(find_changes(units(week, successes, person=person), 8, seed=0)) == []
    assert certain(find_changes(units(week, successes), 8, seed=0)) != []


def test_nobody_who_worked_on_both_sides_is_nobody_to_compare() -> None:
    week = np.repeat([0, 1, 2], 20)
    person = np.repeat([0, 0, 1], 20)
    successes = np.tile([9, 10], 30)
    changes = find_changes(units(week, successes, person=person), 3, seed=0)
    assert list(changes) == [1]


def test_a_bad_week_is_a_fall_and_a_rise() -> None:
    rng = np.random.default_rng(1)
    week = np.repeat(np.arange(9), 40)
    successes = rng.binomial(10, np.where(week == 4, 0.5, 0.9))
    changes = find_changes(units(week, successes), 9, seed=0)
    assert certain(changes) == [4, 5]
    fall, rise = changes[4], changes[5]
    assert fall.value == pytest.approx(-0.4, abs=0.06)
    assert rise.value == pytest.approx(0.4, abs=0.06)
    assert fall.n_after == 1


def test_what_is_certain_has_an_interval_without_0_and_nothing_else_has() -> None:
    for seed in range(10):
        week = np.repeat(np.arange(6), 15)
        successes = np.random.default_rng(seed).binomial(10, np.where(week >= 3, 0.6, 0.9))
        for change in find_changes(units(week, successes), 6, seed=seed).values():
            assert change.low is not None
            assert change.high is not None
            assert -1.0 <= change.low <= change.value <= change.high <= 1.0
            assert change.is_certain == (not change.low <= 0.0 <= change.high)


def test_all_images_that_fail_are_a_change_though_nothing_varies_on_either_side() -> None:
    changes = find_changes(units([0] * 15 + [1] * 15, [10] * 15 + [0] * 15), 2, seed=0)
    assert certain(changes) == [1]
    assert changes[1].value == -1.0


def test_few_images_and_equal_ones_are_compared_without_an_interval() -> None:
    few = find_changes(units([0] * 50 + [1] * 9, [10] * 50 + [0] * 9), 2, seed=0)
    assert few == {1: Change(-1.0, None, None, 1, 1, is_certain=False)}
    equal = find_changes(units([0] * 20 + [1] * 20, 10), 2, seed=0)
    assert equal == {1: Change(0.0, None, None, 1, 1, is_certain=False)}


def test_one_week_has_no_change_and_the_order_of_images_tells_nothing() -> None:
    assert find_changes(units([0, 0], 5), 1, seed=0) == {}
    rng = np.random.default_rng(2)
    week, successes = np.repeat(np.arange(5), 12), rng.binomial(10, 0.8, 60)
    shuffled = rng.permutation(60)
    there = find_changes(units(week, successes), 5, seed=0)
    assert find_changes(units(week[shuffled], successes[shuffled]), 5, seed=0) == there
